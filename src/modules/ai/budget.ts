import { factsOf } from '#src/ai/catalog.ts';
import { worstCaseNanoUsd } from '#src/ai/cost.ts';
import type { Engine } from '#src/ai/engines/define.ts';
import type { Router } from '#src/ai/router.ts';
import type { WorkspaceAi } from '#src/ai/workspace-ai.ts';
import { AppError } from '#src/errors.ts';
import type { JobOptions } from '#src/modules/jobs/job.schemas.ts';

const NANO = 1e9;

/** What a job may consume at most. */
export interface Budget {
  /** Nano-USD, which are micro-credits: the worst case at the dearest candidate. */
  hold: number;
  maxOutputTokens: number;
}

/**
 * Bounds a job's cost before it runs: every input token, every output token the engine (or `maxCostUsd`) allows, at each candidate.
 * @throws AppError 422 `max_cost_too_low` when `maxCostUsd` does not even pay for the input; what `router.worstCase` throws.
 */
export function budgetOf(
  router: Router,
  engine: Engine,
  input: unknown,
  options: JobOptions,
  workspace?: WorkspaceAi,
): Budget {
  const worst = router.worstCase(engine, input, options, workspace);
  const { inputTokens } = worst;
  let { maxOutputTokens } = worst;
  const facts = worst.candidates.map(({ provider, model }) => factsOf(provider, model));
  if (options.maxCostUsd !== undefined) {
    for (const one of facts) {
      const inputCost = worstCaseNanoUsd(one, inputTokens, 0);
      const thousandCost = worstCaseNanoUsd(one, inputTokens, 1000) - inputCost;
      if (thousandCost <= 0) continue;
      const affordable = Math.floor(((options.maxCostUsd * NANO - inputCost) / thousandCost) * 1000);
      if (affordable < 1) throw tooLow(inputTokens, `${one.provider}/${one.model}`);
      maxOutputTokens = Math.min(maxOutputTokens, affordable);
    }
  }
  const hold = Math.max(0, ...facts.map((one) => worstCaseNanoUsd(one, inputTokens, maxOutputTokens)));
  return { hold, maxOutputTokens };
}

function tooLow(inputTokens: number, target: string): AppError {
  const message = `does not even pay for the input at ${target}: with an answer that has to be sent back once, up to ${inputTokens} tokens`;
  return new AppError(422, 'max_cost_too_low', `options.maxCostUsd ${message}.`, {
    errors: [{ path: 'options.maxCostUsd', code: 'max_cost_too_low', message }],
  });
}
