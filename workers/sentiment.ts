import { sentiment } from '#queues/sentiment.ts';
import { createJobRun } from '#workers/run.ts';
import type { WorkerRuntime } from '#workers/runtime.ts';

export const contract = sentiment;

/** One text, or up to a hundred in one call. */
export async function createRun(rt: WorkerRuntime) {
  const answer = await rt.openAnswer();
  return createJobRun(contract, (attempt) => answer(attempt, contract.timeouts), rt);
}
