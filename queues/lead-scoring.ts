import { defineQueue } from '#queues/define.ts';
import { JobRef } from '#queues/job-ref.ts';

export const leadScoring = defineQueue({
  name: 'lead-scoring',
  description: 'The score of a lead, from what is known of it',
  data: JobRef,
  band: 'low',
  retry: { attempts: 4, baseMs: 5000, capMs: 300_000 },
  timeouts: { firstContentMs: 30_000, idleMs: 30_000, totalMs: 30_000 },
  concurrency: 100,
  keep: { completed: { age: 900, count: 2000 }, failed: { age: 86_400, count: 5000 } },
});
