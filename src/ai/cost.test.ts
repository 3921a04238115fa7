import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { factsOf, findModel, listModels, type ModelFacts } from '#src/ai/catalog.ts';
import { costNanoUsd, worstCaseNanoUsd } from '#src/ai/cost.ts';

function known(model: string): ModelFacts {
  const facts = findModel('openai', model);
  if (!facts) throw new Error(`${model} is not in the catalogue`);
  return facts;
}

const tokens = fc.nat(2_000_000);
const facts = fc.constantFrom(...listModels(), factsOf('openai', 'own-name'), known('gpt-5-nano'));

test('costs what the price list says', () => {
  const usage = { inputTokens: 1000, cachedInputTokens: 400, cacheWriteTokens: 0, outputTokens: 200 };
  // 600 × 0.05 + 400 × 0.005 + 200 × 0.4 USD per million = 0.000112 USD
  expect(costNanoUsd(known('gpt-5-nano'), usage)).toBe(112_000);
  expect(worstCaseNanoUsd(known('gpt-4o'), 1_000_000, 0)).toBe(2_500_000_000);
});

const input = (inputTokens: number, outputTokens = 0) => ({
  inputTokens,
  cachedInputTokens: 0,
  cacheWriteTokens: 0,
  outputTokens,
});

test('above its threshold the whole call costs the long price', () => {
  const luna = known('gpt-5.6-luna');
  expect(costNanoUsd(luna, input(272_000))).toBe(272_000 * 200);
  expect(costNanoUsd(luna, input(272_001, 10))).toBe(272_001 * 400 + 10 * 1800);
  // No long output price is published: it rises as the input's does.
  expect(costNanoUsd(known('gpt-6-luna'), input(272_001, 10))).toBe(272_001 * 200 + 10 * 1000);
});

test('cached input without a price of its own costs as other input', () => {
  expect(
    costNanoUsd(known('gpt-4-turbo'), { inputTokens: 10, cachedInputTokens: 10, cacheWriteTokens: 0, outputTokens: 0 }),
  ).toBe(100_000);
});

test('input that is written to a cache costs its own price, and what is neither read nor written the plain one', () => {
  const haiku = findModel('anthropic', 'claude-haiku-4-5');
  if (!haiku) throw new Error('claude-haiku-4-5 is not in the catalogue');
  const usage = { inputTokens: 1000, cachedInputTokens: 300, cacheWriteTokens: 200, outputTokens: 10 };
  // 500 × 1 + 300 × 0.1 + 200 × 1.25 + 10 × 5 USD per million
  expect(costNanoUsd(haiku, usage)).toBe(830_000);
  expect(worstCaseNanoUsd(haiku, 1000, 0)).toBe(1_250_000);
});

test('a self-hosted model costs nothing', () => {
  const llama = findModel('ollama', 'llama3.2');
  expect(llama && worstCaseNanoUsd(llama, 1_000_000, 1_000_000)).toBe(0);
});

test('a cost is a whole number ≥ 0, never above the worst case, and more tokens never cost less', () => {
  fc.assert(
    fc.property(
      facts,
      tokens,
      tokens,
      tokens,
      tokens,
      fc.nat(1000),
      (model, inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens, more) => {
        const cost = costNanoUsd(model, { inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens });
        expect(Number.isSafeInteger(cost) && cost >= 0).toBe(true);
        expect(cost).toBeLessThanOrEqual(worstCaseNanoUsd(model, inputTokens, outputTokens));
        const worst = worstCaseNanoUsd(model, inputTokens, outputTokens);
        expect(worstCaseNanoUsd(model, inputTokens + more, outputTokens)).toBeGreaterThanOrEqual(worst);
        expect(worstCaseNanoUsd(model, inputTokens, outputTokens + more)).toBeGreaterThanOrEqual(worst);
      },
    ),
  );
});

test('is rounded up once, at the end', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 99_999 }),
      fc.nat(10_000),
      fc.nat(10_000),
      (micro, inputTokens, outputTokens) => {
        const price = micro / 1e6;
        const model = {
          ...known('gpt-4o'),
          inputUsdPerMtok: price,
          cachedInputUsdPerMtok: null,
          cacheWriteUsdPerMtok: null,
          outputUsdPerMtok: price,
        };
        const cost = costNanoUsd(model, { inputTokens, cachedInputTokens: 0, cacheWriteTokens: 0, outputTokens });
        expect(cost).toBe(Math.ceil((micro * (inputTokens + outputTokens)) / 1000));
      },
    ),
  );
});

test('refuses what is no count', () => {
  expect(() => worstCaseNanoUsd(known('gpt-4o'), -1, 0)).toThrow('inputTokens is not a count of tokens: -1');
  expect(() => worstCaseNanoUsd(known('gpt-4o'), 1, 1.5)).toThrow(RangeError);
});
