import { defineQueue } from '#queues/define.ts';
import { JobRef } from '#queues/job-ref.ts';

export const webhooks = defineQueue({
  name: 'webhooks',
  description:
    'Deliveries of events to the endpoints of workspaces; an entry wakes a worker, what is due is in Postgres',
  data: JobRef,
  band: 'normal',
  // Tries are counted and planned in Postgres, by the schedule in src/modules/webhooks/schedule.ts.
  retry: { attempts: 10, baseMs: 5000, capMs: 86_400_000 },
  timeouts: { firstContentMs: 15_000, idleMs: 15_000, totalMs: 15_000 },
  concurrency: 100,
  // An ended entry must not keep its delivery from being woken for again.
  keep: { completed: { age: 1, count: 0 }, failed: { age: 1, count: 0 } },
});
