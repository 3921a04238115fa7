import { aiInference } from '#queues/ai-inference.ts';
import type { Answer } from '#src/modules/ai/answer.ts';
import type { Handler } from '#workers/run.ts';

export const contract = aiInference;

/** One copilot, smart-replies or chat job: the text goes out while it is made. */
export const createHandler =
  (answer: Answer): Handler =>
  (attempt) =>
    answer(attempt, contract.timeouts);
