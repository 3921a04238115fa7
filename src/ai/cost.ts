import type { ModelFacts } from '#src/ai/catalog.ts';
import type { Usage } from '#src/ai/model.ts';

/*
 * Money of one call is a whole number of nano-USD in a plain number: exact up to 9 million USD, far above any call, and it passes
 * JSON, Postgres `bigint` and batches as it is. Inside, prices are pico-USD per token in bigint (a price per million tokens has up
 * to six decimals: 0.0025 USD/Mtok = 2500 pico-USD), so the only rounding is one step up at the end.
 */

interface Prices {
  input: bigint;
  cached: bigint;
  output: bigint;
}

const picoPerToken = (usdPerMtok: number): bigint => BigInt(Math.round(usdPerMtok * 1e6));

function pricesFor(facts: ModelFacts, inputTokens: number): Prices {
  const input = facts.inputUsdPerMtok;
  const cached = facts.cachedInputUsdPerMtok ?? input;
  const long = facts.longContext;
  if (!long || inputTokens <= long.aboveInputTokens) {
    return { input: picoPerToken(input), cached: picoPerToken(cached), output: picoPerToken(facts.outputUsdPerMtok) };
  }
  // Where a long price is not published, it is taken to rise as the input's does: rather too dear than under-reserved.
  const rise = input > 0 ? long.inputUsdPerMtok / input : 1;
  return {
    input: picoPerToken(long.inputUsdPerMtok),
    cached: picoPerToken(long.cachedInputUsdPerMtok ?? cached * rise),
    output: picoPerToken(long.outputUsdPerMtok ?? facts.outputUsdPerMtok * rise),
  };
}

function checked(name: string, tokens: number): bigint {
  if (!Number.isSafeInteger(tokens) || tokens < 0) throw new RangeError(`${name} is not a count of tokens: ${tokens}`);
  return BigInt(tokens);
}

function ceilNano(picoUsd: bigint): number {
  return Number((picoUsd + 999n) / 1000n);
}

/**
 * What a call cost, in nano-USD.
 * @throws RangeError where a count is not a whole number ≥ 0.
 */
export function costNanoUsd(
  facts: ModelFacts,
  usage: Pick<Usage, 'inputTokens' | 'cachedInputTokens' | 'outputTokens'>,
): number {
  const prices = pricesFor(facts, usage.inputTokens);
  const input = checked('inputTokens', usage.inputTokens);
  const reported = checked('cachedInputTokens', usage.cachedInputTokens);
  const cached = reported > input ? input : reported;
  const output = checked('outputTokens', usage.outputTokens);
  return ceilNano((input - cached) * prices.input + cached * prices.cached + output * prices.output);
}

/**
 * The most a call can cost, in nano-USD: nothing cached, the whole allowed output written.
 * @throws RangeError where a count is not a whole number ≥ 0.
 */
export function worstCaseNanoUsd(facts: ModelFacts, inputTokens: number, maxOutputTokens: number): number {
  return costNanoUsd(facts, { inputTokens, cachedInputTokens: 0, outputTokens: maxOutputTokens });
}
