import { leadScoring } from '#queues/lead-scoring.ts';
import { createJobRun } from '#workers/run.ts';
import type { WorkerRuntime } from '#workers/runtime.ts';

export const contract = leadScoring;

/** The score of one lead. */
export async function createRun(rt: WorkerRuntime) {
  const answer = await rt.openAnswer();
  return createJobRun(contract, (attempt) => answer(attempt, contract.timeouts), rt);
}
