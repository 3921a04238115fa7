import { factsOf } from '#src/ai/catalog.ts';
import { costNanoUsd } from '#src/ai/cost.ts';
import type { ApiKey, ChatRequest, Chunk, ProviderName } from '#src/ai/model.ts';
import { likelyCalls, likelyInputTokens, likelyTokens } from '#src/ai/tokens.ts';
import { AppError } from '#src/errors.ts';

/** What the calls of a job may cost, in nano-USD. */
export interface CostLimits {
  /** The client's own bound. */
  maxCostNanoUsd?: number | undefined;
  /** What is held of the workspace's credits; bounds no call on the workspace's own key, which costs it none. */
  heldNanoUsd?: number | undefined;
}

/** The call a meter runs along with. */
export interface MeteredCall {
  provider: ProviderName;
  keyOwner: ApiKey['owner'];
  request: ChatRequest;
}

/** Takes each piece of an answer; true once what has arrived costs as much as the call may. */
export type Meter = (chunk: Exclude<Chunk, { type: 'end' }>) => boolean;

/**
 * Watches the cost of a running call by our own count of what arrives (`likelyTokens`, a sum over characters). The provider was given a
 * bound of output tokens that the money pays for; this ends the answers of those who do not keep it, at most one piece late.
 * @returns undefined where nothing can be reached: there is no bound, or the model costs nothing
 */
export function createMeter(
  { provider, keyOwner, request }: MeteredCall,
  { maxCostNanoUsd, heldNanoUsd }: CostLimits,
): Meter | undefined {
  const held = keyOwner === 'installation' && heldNanoUsd ? heldNanoUsd : Infinity;
  const limit = Math.min(maxCostNanoUsd ?? Infinity, held);
  const facts = factsOf(provider, request.model);
  if (limit === Infinity || (facts.inputUsdPerMtok === 0 && facts.outputUsdPerMtok === 0)) return undefined;
  let left: number | undefined;
  let perToken = 0;
  return (chunk) => {
    if (left === undefined) {
      const counts = { inputTokens: likelyInputTokens(request), cachedInputTokens: 0, cacheWriteTokens: 0 };
      const input = costNanoUsd(facts, { ...counts, outputTokens: 0 });
      perToken = (costNanoUsd(facts, { ...counts, outputTokens: 1_000_000 }) - input) / 1_000_000;
      left = limit - input;
    }
    left -= perToken * (chunk.type === 'text' ? likelyTokens(chunk.text) : likelyCalls([chunk.call]));
    return left <= 0;
  };
}

/** 422 for an answer that was cut by the meter and cannot be read as far as it came. */
export const maxCostReached = (): AppError =>
  new AppError(422, 'max_cost_reached', 'The answer reached what the job may cost before it was whole.');
