import { defineQueue } from '#queues/define.ts';
import { JobRef } from '#queues/job-ref.ts';

/** A reference names an operation; what there is to do stands in Postgres. None is kept once it is done, so that it may be handed out again at once. */
export const bulkOperations = defineQueue({
  name: 'bulk-operations',
  description: 'Work over many rows of a workspace, step by step: imports, exports, changes of whole lists, erasures',
  data: JobRef,
  band: 'low',
  retry: { attempts: 5, baseMs: 500, capMs: 30_000 },
  timeouts: { firstContentMs: 60_000, idleMs: 60_000, totalMs: 3_600_000 },
  concurrency: 2,
  keep: { completed: { age: 60, count: 0 }, failed: { age: 60, count: 0 } },
});
