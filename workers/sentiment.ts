import { sentiment } from '#queues/sentiment.ts';
import type { Answer } from '#src/modules/ai/answer.ts';
import type { Handler } from '#workers/run.ts';

export const contract = sentiment;

/** The sentiment of one text, or of up to a hundred in one call. */
export const createHandler =
  (answer: Answer): Handler =>
  (attempt) =>
    answer(attempt, contract.timeouts);
