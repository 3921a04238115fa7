import { expect, it } from 'vitest';
import { chooseOfTwo, type Estimate, scoresOf } from '#src/ai/strategies.ts';
import { retryWaitMs, RetryBudget } from '#src/ai/retry.ts';

const estimate = (costUsd: number, latencyMs: number, quality: number, success = 1): Estimate => ({
  costUsd,
  latencyMs,
  quality,
  success,
  firstMs: latencyMs,
  outputTokens: 100,
});
const CHEAP = estimate(0.001, 2000, 60);
const FAST = estimate(0.004, 500, 60);
const GOOD = estimate(0.02, 1500, 92);
const WEAK = estimate(0.0001, 300, 10);
const all = [CHEAP, FAST, GOOD];

it.each([
  ['cost_optimized', 0],
  ['speed_optimized', 1],
  ['quality_optimized', 2],
  ['failover', 0],
] as const)('%s prefers the right one', (strategy, expected) => {
  const scores = scoresOf(strategy, all, 'chat').map(({ score }) => score);
  expect(scores.indexOf(Math.min(...scores))).toBe(expected);
});

it('scores by the table', () => {
  const [cheap, fast] = scoresOf('balanced', [CHEAP, { ...FAST, success: 0.8 }], 'chat');
  expect(cheap?.score).toBeCloseTo(0.35 * Math.log(4), 3);
  expect(fast?.score).toBeCloseTo(0.4 * Math.log(4) - 2 * Math.log(0.8), 2);
});

it('keeps what is too weak or too dear in reserve, but not when there is nothing else', () => {
  expect(scoresOf('cost_optimized', [WEAK, CHEAP], 'chat').map(({ short }) => short)).toEqual([
    'quality_too_low',
    null,
  ]);
  expect(scoresOf('cost_optimized', [WEAK], 'chat').map(({ short }) => short)).toEqual([null]);
  expect(scoresOf('speed_optimized', all, 'chat').map(({ short }) => short)).toEqual([
    null,
    null,
    'too_expensive_for_speed',
  ]);
});

const load = (at: number) => [30, 20, 10][at] ?? 0;

it('draws two and takes the less loaded', () => {
  expect(chooseOfTwo([0, 1, 2], load, () => 0)).toBe(1);
  expect(chooseOfTwo([0, 1, 2], load, () => 0.99)).toBe(2);
  expect(chooseOfTwo([1], load, () => 0.5)).toBe(1);
});

it('waits as the table says, and not at all where waiting is for others', () => {
  expect(retryWaitMs('transient', undefined, 0, 60_000, 0.5)).toBe(250);
  expect(retryWaitMs('transient', undefined, 1, 60_000, 0.5)).toBe(500);
  expect(retryWaitMs('transient', undefined, 2, 60_000, 0.5)).toBeUndefined();
  expect(retryWaitMs('overloaded', undefined, 0, 60_000, 0)).toBe(1000);
  expect(retryWaitMs('rate_limited', 4000, 0, 60_000, 0.5)).toBe(4200);
  expect(retryWaitMs('rate_limited', 11_000, 0, 60_000, 0.5)).toBeUndefined();
  expect(retryWaitMs('rate_limited', 4000, 0, 12_000, 0.5)).toBeUndefined();
  expect(retryWaitMs('auth', undefined, 0, 60_000, 0)).toBeUndefined();
});

it('allows a retry for ten calls', () => {
  const budget = new RetryBudget();
  let taken = 0;
  for (let call = 0; call < 1000; call++) {
    budget.called('a');
    taken += Number(budget.take('a'));
  }
  expect(taken).toBeGreaterThan(95);
  expect(taken).toBeLessThanOrEqual(104);
});
