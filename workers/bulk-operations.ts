import { bulkOperations } from '#queues/bulk-operations.ts';
import { openOrm } from '#src/db/orm.ts';
import { anchorWith, createAnchor } from '#src/modules/audit/anchor.ts';
import { kinds } from '#src/modules/bulk/kinds.ts';
import { runOperation } from '#src/modules/bulk/run.ts';
import { entities } from '#src/modules/entities.ts';
import type { Run } from '#workers/pool.ts';
import type { WorkerRuntime } from '#workers/runtime.ts';

export const contract = bulkOperations;

/** Does the steps of operations. What is due again, `control` hands out again. */
export async function createRun(rt: WorkerRuntime): Promise<Run> {
  const orm = openOrm(rt.config, entities, { role: 'wh_app', log: rt.log });
  anchorWith(orm, createAnchor(rt.config));
  const operations = { orm, kinds, appSecret: rt.config.APP_SECRET, log: rt.log, stopping: rt.stopping };
  return async ({ workspaceId, jobId }) => {
    await runOperation(operations, workspaceId, jobId);
    return null;
  };
}
