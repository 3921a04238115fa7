import type { Logger } from 'pino';
import type { Pool } from 'pg';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { Orm } from '#src/db/orm.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import type { Metrics } from '#src/lib/metrics.ts';
import { findBroken, INVARIANTS, lapseLots, reapReservations } from '#src/modules/billing/reconcile.query.ts';

/** Jobs are looked at that ended since the last look; a look that came late must not leave a gap. */
const LOOK_BACK_SECONDS = 180;

export interface LedgerResources {
  systemPool: Pool;
  orm: Orm;
  metrics: Metrics;
  log: Logger;
}

/**
 * Tends the ledger, for one process at a time: looks whether the books are even, and says so where they are not (metric, log, and one event at
 * the crossing); then takes away what has expired, and frees what is held for jobs that are over.
 */
export function createLedgerCare({ systemPool, orm, metrics, log }: LedgerResources): () => Promise<void> {
  let known = new Set<string>();
  return async () => {
    const broken = await findBroken(systemPool, LOOK_BACK_SECONDS);
    for (const invariant of INVARIANTS)
      metrics.brokenBooks.set({ invariant }, broken.filter((one) => one.invariant === invariant).length);
    const now = new Set<string>();
    for (const one of broken) {
      const name = `${one.workspaceId} ${one.invariant}`;
      now.add(name);
      if (known.has(name)) continue;
      log.error(one, "A workspace's credits do not add up");
      const { workspaceId, invariant } = one;
      await inWorkspaceTx(orm, { workspaceId }, (em) =>
        emitEvent(em, { type: 'credits.unbalanced', data: { invariant }, subjectId: null, actorId: null }),
      );
    }
    known = now;
    const lapsed = await lapseLots(systemPool);
    const reaped = await reapReservations(systemPool);
    if (lapsed > 0) log.info({ lots: lapsed }, 'Credits have expired');
    if (reaped > 0) log.warn({ reservations: reaped }, 'Credits were held for jobs that are over, and are free again');
  };
}
