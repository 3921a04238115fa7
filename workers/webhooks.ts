import { webhooks } from '#queues/webhooks.ts';
import { deliver } from '#src/modules/webhooks/deliver.ts';
import { createReadEndpoint } from '#src/modules/webhooks/endpoint.ts';
import { createShare } from '#src/modules/webhooks/share.ts';
import { createStep } from '#src/modules/webhooks/step.query.ts';
import type { Run } from '#workers/pool.ts';
import type { WorkerRuntime } from '#workers/runtime.ts';

export const contract = webhooks;

/** Delivers what is due to the endpoint that was woken for. */
export async function createRun(rt: WorkerRuntime): Promise<Run> {
  const { egress, log, metrics, stopping, leaving } = rt;
  const readEndpoint = createReadEndpoint(rt.pool, rt.vault);
  const step = createStep(rt.openSystemPool());
  const share = createShare(rt.concurrency ?? contract.concurrency);
  const resources = { egress, readEndpoint, step, log, metrics, stopping, leaving };
  return (ref) => share(ref.workspaceId, () => deliver(resources, ref));
}
