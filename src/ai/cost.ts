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
  written: bigint;
  output: bigint;
}

const picoPerToken = (usdPerMtok: number): bigint => BigInt(Math.round(usdPerMtok * 1e6));

function pricesFor(facts: ModelFacts, inputTokens: number): Prices {
  const input = facts.inputUsdPerMtok;
  const cached = facts.cachedInputUsdPerMtok ?? input;
  const written = facts.cacheWriteUsdPerMtok ?? input;
  const long = facts.longContext;
  if (!long || inputTokens <= long.aboveInputTokens) {
    return {
      input: picoPerToken(input),
      cached: picoPerToken(cached),
      written: picoPerToken(written),
      output: picoPerToken(facts.outputUsdPerMtok),
    };
  }
  // Where a long price is not published, it is taken to rise as the input's does: rather too dear than under-reserved.
  const rise = input > 0 ? long.inputUsdPerMtok / input : 1;
  return {
    input: picoPerToken(long.inputUsdPerMtok),
    cached: picoPerToken(long.cachedInputUsdPerMtok ?? cached * rise),
    written: picoPerToken(written * rise),
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

/** The counts that a cost depends on. Reasoning is part of the output, and costs as it does. */
export type BilledUsage = Pick<Usage, 'inputTokens' | 'cachedInputTokens' | 'cacheWriteTokens' | 'outputTokens'>;

/**
 * What a call cost, in nano-USD.
 * @param facts with the price in force when the call began (`factsOf(provider, model, startedAt)`)
 * @throws RangeError where a count is not a whole number ≥ 0.
 */
export function costNanoUsd(facts: ModelFacts, usage: BilledUsage): number {
  const prices = pricesFor(facts, usage.inputTokens);
  const input = checked('inputTokens', usage.inputTokens);
  // Parts never exceed their whole, whatever a provider counts.
  const cached = least(checked('cachedInputTokens', usage.cachedInputTokens), input);
  const written = least(checked('cacheWriteTokens', usage.cacheWriteTokens), input - cached);
  const output = checked('outputTokens', usage.outputTokens);
  const plain = input - cached - written;
  return ceilNano(plain * prices.input + cached * prices.cached + written * prices.written + output * prices.output);
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/**
 * The most a call can cost, in nano-USD: nothing read from a cache, the whole input at the dearer of its plain price and that of
 * writing it to a cache, the whole allowed output written.
 * @throws RangeError where a count is not a whole number ≥ 0.
 */
export function worstCaseNanoUsd(facts: ModelFacts, inputTokens: number, maxOutputTokens: number): number {
  const counts = { inputTokens, cachedInputTokens: 0, outputTokens: maxOutputTokens };
  return Math.max(
    costNanoUsd(facts, { ...counts, cacheWriteTokens: 0 }),
    costNanoUsd(facts, { ...counts, cacheWriteTokens: inputTokens }),
  );
}
