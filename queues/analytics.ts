import { defineQueue } from '#queues/define.ts';
import { JobRef } from '#queues/job-ref.ts';

/**
 * What a reference asks for stands in Postgres: the workspace's id twice asks to count what it has marked, the id of an export to write it,
 * the nil id twice to tend the partitions. None is kept once it is done, so that the same may be asked again at once.
 */
export const analytics = defineQueue({
  name: 'analytics',
  description: 'Figures by hour and day, exports of them, and the partitions of what is kept by month',
  data: JobRef,
  band: 'low',
  retry: { attempts: 5, baseMs: 30_000, capMs: 600_000 },
  timeouts: { firstContentMs: 60_000, idleMs: 60_000, totalMs: 600_000 },
  concurrency: 4,
  keep: { completed: { age: 60, count: 0 }, failed: { age: 60, count: 0 } },
});
