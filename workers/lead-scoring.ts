import { leadScoring } from '#queues/lead-scoring.ts';
import type { Answer } from '#src/modules/ai/answer.ts';
import type { Handler } from '#workers/run.ts';

export const contract = leadScoring;

/** The score of one lead. */
export const createHandler =
  (answer: Answer): Handler =>
  (attempt) =>
    answer(attempt, contract.timeouts);
