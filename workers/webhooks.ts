import { webhooks } from '#queues/webhooks.ts';
import { createEgress } from '#src/lib/egress.ts';
import { deliver } from '#src/modules/webhooks/deliver.ts';
import { createReadEndpoint } from '#src/modules/webhooks/endpoint.ts';
import { createStep } from '#src/modules/webhooks/step.query.ts';
import type { Run } from '#workers/pool.ts';
import type { WorkerRuntime } from '#workers/runtime.ts';

export const contract = webhooks;

/** Delivers what is due to the endpoint that was woken for. */
export async function createRun(rt: WorkerRuntime): Promise<Run> {
  const { log, metrics, stopping, leaving } = rt;
  const egress = createEgress({ allow: rt.config.EGRESS_ALLOW });
  leaving.addEventListener('abort', () => void egress.close(), { once: true });
  const readEndpoint = createReadEndpoint(rt.pool, rt.vault);
  const step = createStep(rt.openSystemPool());
  return (ref) => deliver({ egress, readEndpoint, step, log, metrics, stopping, leaving }, ref);
}
