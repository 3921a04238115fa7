import { aiInference } from '#queues/ai-inference.ts';
import { createJobRun } from '#workers/run.ts';
import type { WorkerRuntime } from '#workers/runtime.ts';

export const contract = aiInference;

/** The text goes out while it is made. */
export async function createRun(rt: WorkerRuntime) {
  const answer = await rt.openAnswer();
  return createJobRun(contract, (attempt) => answer(attempt, contract.timeouts), rt);
}
