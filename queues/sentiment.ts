import { defineQueue } from '#queues/define.ts';
import { JobRef } from '#queues/job-ref.ts';

export const sentiment = defineQueue({
  name: 'sentiment',
  description: 'Sentiment of one text or of up to a hundred',
  data: JobRef,
  band: 'normal',
  retry: { attempts: 4, baseMs: 2000, capMs: 60_000 },
  timeouts: { firstContentMs: 15_000, idleMs: 15_000, totalMs: 15_000 },
  concurrency: 100,
  keep: { completed: { age: 900, count: 2000 }, failed: { age: 86_400, count: 5000 } },
});
