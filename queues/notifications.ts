import { defineQueue } from '#queues/define.ts';
import { JobRef } from '#queues/job-ref.ts';

export const notifications = defineQueue({
  name: 'notifications',
  description: 'One mail of the outbox; a mail belongs to no workspace',
  data: JobRef,
  band: 'normal',
  retry: { attempts: 9, baseMs: 5000, capMs: 640_000 },
  timeouts: { firstContentMs: 10_000, idleMs: 20_000, totalMs: 60_000 },
  concurrency: 20,
  // Gone at once: an entry that is over would keep its mail from being put in again.
  keep: { completed: { age: 0, count: 0 }, failed: { age: 0, count: 0 } },
});
