import type { EntityManager } from '@mikro-orm/postgresql';
import { isDeepStrictEqual } from 'node:util';
import { emitEvent } from '#src/events/outbox.query.ts';
import type { Plan } from '#src/http/access-token.ts';
import { newId } from '#src/lib/ids.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { toMicroCredits } from '#src/modules/billing/billing.schemas.ts';
import { periodOf, planOf, winnerOf, type PlanClaim, type PlanSource } from '#src/modules/billing/claims.ts';
import { grantCredits } from '#src/modules/billing/credits.query.ts';
import { termsOf, type PlanOverride } from '#src/modules/billing/plans.ts';
import {
  deleteClaim,
  findClaims,
  findPeriod,
  liftSendLimit,
  saveClaim,
  savePeriod,
} from '#src/modules/billing/plans.query.ts';
import { lockWorkspace } from '#src/modules/workspaces/plans.ts';
import type { Workspace } from '#src/modules/workspaces/workspace.entity.ts';

/** Why a plan changes, and who does it. */
export interface PlanChange {
  /** What gives the plan: each has one, and the better one counts (`winnerOf`). */
  source: PlanSource;
  /** For the audit log and the event: `activated`, `paid`, `expired`, … */
  reason: string;
  /** When what was paid for ends; later than before, a subscription was renewed, and its credits are given again. Absent: it does not end. */
  periodEnd?: Date | null | undefined;
  /** Where it differs from the plan. */
  override?: PlanOverride | null | undefined;
  actor: Actor;
}

/**
 * Says what plan a licence or a subscription gives a workspace from now on; `free`: none, and then it
 * has its base plan. In the transaction of that workspace
 * (`inWorkspaceTx`), whose row it locks. Gives the credits of the running month that were not given yet, in a lot that expires with it: the same
 * call again gives none, and a lower plan takes none back. What is over a new limit stays.
 * @returns the plan that counts
 * @throws AppError 404 when the workspace is gone
 */
export async function setPlan(em: EntityManager, workspaceId: string, plan: Plan, change: PlanChange): Promise<Plan> {
  const workspace = await lockWorkspace(em, workspaceId);
  const { source, periodEnd, override } = change;
  if (plan === 'free') await deleteClaim(em, source);
  else await saveClaim(em, { source, plan, override: override ?? null, endsAt: periodEnd ?? null });
  return applyPlan(em, workspace, change);
}

/**
 * Says what plan a workspace has that neither a licence nor a subscription gives a better one, as `setPlan`.
 * @returns the plan that counts
 */
export function setBasePlan(em: EntityManager, workspace: Workspace, basePlan: Plan, actor: Actor): Promise<Plan> {
  workspace.basePlan = basePlan;
  return applyPlan(em, workspace, { reason: 'default', actor });
}

async function applyPlan(
  em: EntityManager,
  workspace: Workspace,
  { reason, actor }: Pick<PlanChange, 'reason' | 'actor'>,
): Promise<Plan> {
  const { id: workspaceId } = workspace;
  const claims = await findClaims(em);
  const before = { plan: workspace.plan, override: workspace.planOverride ?? null };
  const { source, ...after } = planOf(claims, workspace.basePlan);
  Object.assign(workspace, { plan: after.plan, planOverride: after.override });
  await em.flush();
  const claim = winnerOf(claims);
  if (claim) await giveCredits(em, workspaceId, claim);
  if (isDeepStrictEqual(before, after)) return after.plan;
  await liftSendLimit(em);
  await emitEvent(em, {
    type: 'billing.plan_changed',
    data: { from: before.plan, to: after.plan, source, reason },
    subjectId: null,
    actorId: actor.kind === 'session' ? actor.id : null,
  });
  await appendAudit(em, actor, {
    action: 'workspace.plan_changed',
    target: { type: 'workspace', id: workspaceId },
    before,
    after: { ...after, source, reason },
  });
  return after.plan;
}

/** Gives what the running month's credits of a plan are more than what was given for it. The workspace is locked: once for all who call at once. */
export async function giveCredits(em: EntityManager, workspaceId: string, claim: PlanClaim): Promise<void> {
  // Of a subscription that has no end of its own, each paid invoice gives the credits.
  if (claim.source === 'subscription' && claim.endsAt === null) return;
  const was = await findPeriod(em);
  const period = periodOf(was, claim, new Date());
  if (!period) return;
  const granted = period === was ? was.granted : 0;
  const due = toMicroCredits(termsOf({ plan: claim.plan }).creditsPerMonth);
  if (due <= granted && period === was) return;
  if (due > granted)
    await grantCredits(em, {
      workspaceId,
      microCredits: due - granted,
      referenceId: newId(),
      expiresAt: period.endsAt,
    });
  await savePeriod(em, { ...period, granted: Math.max(due, granted) });
}
