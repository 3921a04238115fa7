import type { Logger } from 'pino';
import type { Pool } from 'pg';
import type { Orm } from '#src/db/orm.ts';
import type { Plan } from '#src/http/access-token.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { appendAudit, SYSTEM } from '#src/modules/audit/audit.ts';
import { winnerOf } from '#src/modules/billing/claims.ts';
import {
  endLicense,
  findEnding,
  findMonthsOver,
  findOtherBase,
  noteTold,
  type EndingRow,
} from '#src/modules/billing/licenses.query.ts';
import { graceEnd } from '#src/modules/billing/licenses.schemas.ts';
import { findClaims } from '#src/modules/billing/plans.query.ts';
import { giveCredits, setBasePlan, setPlan } from '#src/modules/billing/set-plan.ts';
import { lockIfThere } from '#src/modules/workspaces/plans.ts';

/** So long before its end owners are told of it. */
const SOON_DAYS = 7;
const AT_ONCE = 200;
const REBASE_MS = 3_600_000;
const NIL = '00000000-0000-0000-0000-000000000000';

export interface PlanResources {
  systemPool: Pool;
  orm: Orm;
  log: Logger;
  /** How long a licence that has expired goes on. */
  graceDays: number;
  /** What workspaces have that have nothing better. */
  defaultPlan: Plan;
}

/**
 * Tends plans, for one process at a time: gives workspaces the default plan where that was changed, tells owners of licences that end, ends those whose grace is over, and gives the credits of a
 * month that begins. One workspace's trouble keeps no other from it.
 */
export function createPlanCare({ systemPool, orm, log, graceDays, defaultPlan }: PlanResources): () => Promise<void> {
  const inWorkspace = async (workspaceId: string, work: Parameters<typeof inWorkspaceTx<void>>[2]): Promise<void> => {
    try {
      await inWorkspaceTx(orm, { workspaceId }, work);
    } catch (error) {
      log.error({ err: error, workspaceId }, "A workspace's plan could not be tended");
    }
  };

  const tell = ({ id, workspaceId, plan, expiresAt }: EndingRow, phase: 'soon' | 'grace'): Promise<void> =>
    inWorkspace(workspaceId, async (em) => {
      if (!(await noteTold(em, id, phase))) return;
      const data = { licenseId: id, plan, phase, expiresAt, graceUntil: graceEnd(expiresAt, graceDays) };
      await emitEvent(em, { type: 'license.expiring', data, subjectId: null, actorId: null });
    });

  const end = ({ id, workspaceId, plan }: EndingRow): Promise<void> =>
    inWorkspace(workspaceId, async (em) => {
      // One that was closed has no plan to change.
      const open = await lockIfThere(em, workspaceId);
      if (!(await endLicense(em, { id, workspaceId, from: 'active', to: 'expired' }))) return;
      if (open) await setPlan(em, workspaceId, 'free', { source: 'license', reason: 'expired', actor: SYSTEM });
      await appendAudit(em, SYSTEM, { action: 'license.expired', target: { type: 'license', id }, before: { plan } });
      log.info({ workspaceId, licenseId: id }, 'A licence has expired');
    });

  let rebasedAt = -Infinity;
  const rebase = async (): Promise<void> => {
    // Workspaces are looked through from time to time only: a process with the old setting may go on for a while and make some.
    if (Date.now() - rebasedAt < REBASE_MS) return;
    rebasedAt = Date.now();
    let after = NIL;
    for (let ids = [after]; ids.length > 0; after = ids.at(-1) ?? after) {
      ids = await findOtherBase(systemPool, { plan: defaultPlan, after, limit: AT_ONCE });
      for (const id of ids)
        await inWorkspace(id, async (em) => {
          const open = await lockIfThere(em, id);
          if (open) await setBasePlan(em, open, defaultPlan, SYSTEM);
        });
    }
  };

  return async () => {
    await rebase();
    for (const row of await findEnding(systemPool, { soonDays: SOON_DAYS, graceDays, limit: AT_ONCE })) {
      if (row.phase === 'over') await end(row);
      else await tell(row, row.phase);
    }
    for (const workspaceId of await findMonthsOver(systemPool, AT_ONCE))
      await inWorkspace(workspaceId, async (em) => {
        const open = await lockIfThere(em, workspaceId);
        const claim = open && winnerOf(await findClaims(em));
        if (claim) await giveCredits(em, workspaceId, claim);
      });
  };
}
