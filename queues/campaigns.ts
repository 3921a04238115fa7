import { defineQueue } from '#queues/define.ts';
import { JobRef } from '#queues/job-ref.ts';

/** A reference names a channel that has something to send, or a campaign to be prepared. There is never one for a recipient. */
export const campaigns = defineQueue({
  name: 'campaigns',
  description: 'Campaigns: their recipients are chosen, and channels with something to send are woken',
  data: JobRef,
  band: 'bulk',
  // Attempts at an item are counted and planned in Postgres.
  retry: { attempts: 3, baseMs: 30_000, capMs: 900_000 },
  timeouts: { firstContentMs: 30_000, idleMs: 30_000, totalMs: 120_000 },
  concurrency: 20,
  // An ended entry must not keep its channel from being woken again.
  keep: { completed: { age: 1, count: 0 }, failed: { age: 1, count: 0 } },
});
