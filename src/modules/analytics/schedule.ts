import type { Pool } from 'pg';
import type { Producer } from '#queues/producer.ts';
import { analytics } from '#queues/analytics.ts';
import type { Metrics } from '#src/lib/metrics.ts';
import { findDueExports } from '#src/modules/analytics/exports.query.ts';
import { findDue, findLag } from '#src/modules/analytics/rollup.query.ts';

/** Stands for the installation where a reference names a workspace and what is to be done for it. */
export const INSTALLATION = '00000000-0000-0000-0000-000000000000';

const BATCH = 1000;

export interface ScheduleResources {
  /** As `wh_system`. */
  pool: Pool;
  producer: Producer;
  metrics: Metrics;
}

/** Hands out what is due: workspaces with new facts, and exports. What is in the queue already is left alone, so it may be called at will. */
export async function scheduleAnalytics({ pool, producer, metrics }: ScheduleResources): Promise<void> {
  metrics.analyticsLagSeconds.set(await findLag(pool));
  const workspaces = (await findDue(pool, BATCH)).map((id) => ({ workspaceId: id, jobId: id }));
  const refs = [...workspaces, ...(await findDueExports(pool, BATCH))];
  if (refs.length === 0) return;
  await producer.enqueue(
    'analytics',
    refs.map((ref) => ({ ref, band: analytics.band, delayMs: 0 })),
  );
}

/** Has a worker tend the partitions. */
export async function schedulePartitions({ producer }: ScheduleResources): Promise<void> {
  const ref = { workspaceId: INSTALLATION, jobId: INSTALLATION };
  await producer.enqueue('analytics', [{ ref, band: analytics.band, delayMs: 0 }]);
}
