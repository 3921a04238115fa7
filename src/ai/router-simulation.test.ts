import { describe, expect, it } from 'vitest';
import { factsOf } from '#src/ai/catalog.ts';
import { expectedCostUsd } from '#src/ai/estimates.ts';
import { type FailureClass, ProviderError, type ProviderName, STRATEGIES } from '#src/ai/model.ts';
import { type Mood, openMarket } from '#src/ai/__fixtures__/market.ts';

const MODELS = {
  openai: ['gpt-4o-mini', 'gpt-4o'],
  anthropic: ['claude-haiku-4-5'],
  google: ['gemini-2.5-flash', 'gemini-2.5-pro'],
  mistral: ['mistral-small-latest'],
} satisfies Partial<Record<ProviderName, string[]>>;
const NAMES = Object.keys(MODELS);
const SICK: (FailureClass | 'hang')[] = [
  'transient',
  'overloaded',
  'rate_limited',
  'timeout',
  'stream_truncated',
  'model_gone',
  'hang',
  'auth',
  'quota_exhausted',
];

const SIMULATIONS = Number(process.env['SIMULATIONS'] ?? 1500);

it('over a thousand markets: nobody’s request fails while somebody is well, and none makes more than four calls', async () => {
  let restarts = 0;
  for (let seed = 1; seed <= SIMULATIONS; seed++) {
    // Two of the four fall ill and recover, over and over; the speed of all changes.
    const plan = { sick: new Set<string>(), failure: 'transient' as FailureClass | 'hang', speed: 300 };
    const market = openMarket(seed, MODELS, (provider) => {
      const firstMs = plan.speed * (1 + NAMES.indexOf(provider));
      return plan.sick.has(provider) ? { firstMs, failure: plan.failure, retryAfterMs: 3000 } : { firstMs };
    });
    const { random, world } = market;
    const weak = NAMES.toSorted(() => random() - 0.5).slice(0, 2);
    const strategy = STRATEGIES[Math.floor(random() * STRATEGIES.length)];
    for (let request = 0; request < 6; request++) {
      plan.sick = new Set(weak.filter(() => random() < 0.6));
      plan.failure = SICK[Math.floor(random() * SICK.length)] ?? 'transient';
      plan.speed = 50 + random() * 1000;
      const { attempts, fallbacks } = await market.ask({ strategy, priority: random() < 0.5 ? 'batch' : 'normal' });
      if (attempts.length > 4) expect.fail(`seed ${seed}: ${attempts.length} calls`);
      if (new Set(attempts.map(({ provider }) => provider)).size > 3) expect.fail(`seed ${seed}: too many providers`);
      restarts += fallbacks.length;
      world.now += random() ** 3 * 30_000;
    }
  }
  expect(restarts).toBeGreaterThan(SIMULATIONS / 10);
});

/** A job as the queue runs it: delayed where all are busy, tried again where a try may help. */
async function job(market: ReturnType<typeof openMarket>, strategy: (typeof STRATEGIES)[number]): Promise<void> {
  let failures = 0;
  for (let start = 0; start < 20; start++) {
    try {
      await market.ask({ strategy });
      return;
    } catch (error) {
      if (!(error instanceof ProviderError) || error.retry === 'never') throw error;
      if (error.retry === 'later' && ++failures >= 3) throw error;
      market.world.now += Math.max(1000, error.retryAfterMs ?? 1000);
    }
  }
  throw new Error('the job was started too often');
}

it('with everybody ill for a while, jobs wait instead of failing', async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const start = 1_790_000_000_000 + seed * 1000;
    const market = openMarket(seed, MODELS, (_, __, now) => {
      const isIll = now - start > 20_000 && now - start < 23_000;
      return { firstMs: 200, ...(isIll && { failure: 'rate_limited', retryAfterMs: 5000 }) } satisfies Mood;
    });
    const jobs = async () => {
      for (let request = 0; request < 40; request++) await job(market, STRATEGIES[seed % 5] ?? 'failover');
    };
    await expect(jobs()).resolves.toBeUndefined();
  }
});

const CHEAP = {
  openai: ['gpt-4o'],
  anthropic: ['claude-sonnet-4-5'],
  google: ['gemini-2.5-flash'],
  mistral: ['mistral-large-latest'],
} satisfies Partial<Record<ProviderName, string[]>>;

const cost = (provider: ProviderName, model: string) => expectedCostUsd(factsOf(provider, model), 100, 100);

it('cost_optimized pays at most 5 % more than always asking the cheapest that is well', async () => {
  let [paid, best] = [0, 0];
  for (let seed = 1; seed <= 10; seed++) {
    const plan = { sick: '', speed: 200 };
    const market = openMarket(seed, CHEAP, (provider) => ({
      firstMs: plan.speed * (provider === 'google' ? 1.5 : 1),
      ...(provider === plan.sick && { failure: 'transient' as const }),
    }));
    for (let request = 0; request < 1200; request++) {
      if (request % 300 === 0) plan.sick = market.random() < 0.5 ? 'google' : market.random() < 0.5 ? 'mistral' : '';
      plan.speed = 100 + market.random() * 300;
      const { provider, model } = await market.ask({ strategy: 'cost_optimized' });
      paid += cost(provider, model);
      const well = Object.entries(CHEAP).filter(([name]) => name !== plan.sick);
      best += Math.min(...well.map(([name, [its]]) => cost(name as ProviderName, its ?? '')));
      market.world.now += 500;
    }
  }
  expect(paid / best).toBeLessThan(1.05);
});

/** @returns the share of requests the new fastest gets, from 30 s after the change on */
async function shareAfterChange(before: Record<string, number>, after: Record<string, number>, expected: string) {
  let [right, all] = [0, 0];
  for (let seed = 1; seed <= 20; seed++) {
    const changeAt = 1_790_000_000_000 + seed * 1000 + 60_000;
    const market = openMarket(seed, CHEAP, (provider, _, now) => ({
      firstMs: ((now < changeAt ? before : after)[provider] ?? 100) * (0.9 + 0.2 * market.random()),
    }));
    while (market.world.now < changeAt + 45_000) {
      const { provider } = await market.ask({ strategy: 'speed_optimized', priority: 'batch' });
      if (market.world.now > changeAt + 30_000) {
        all += 1;
        right += Number(provider === expected);
      }
      market.world.now += 20;
    }
  }
  return right / all;
}

describe('speed_optimized finds the fastest anew within 30 s', () => {
  it('when it slows down', async () => {
    const before = { openai: 30, anthropic: 60, google: 120, mistral: 120 };
    expect(await shareAfterChange(before, { ...before, openai: 300 }, 'anthropic')).toBeGreaterThan(0.9);
  });

  it('when another becomes faster', async () => {
    const before = { openai: 50, anthropic: 100, google: 150, mistral: 150 };
    expect(await shareAfterChange(before, { ...before, mistral: 12 }, 'mistral')).toBeGreaterThan(0.9);
  });
});

it('a breaker opens, is probed, ramps up and closes again', async () => {
  const start = 1_790_000_000_000 + 1000;
  const calls: { at: number; provider: string }[] = [];
  const market = openMarket(1, { openai: ['gpt-4o-mini'], anthropic: ['claude-haiku-4-5'] }, (provider, _, now) => {
    calls.push({ at: now - start, provider });
    const isIll = provider === 'openai' && now - start > 20_000 && now - start < 60_000;
    return { firstMs: 20, ...(isIll && { failure: 'transient' }) };
  });
  while (market.world.now < start + 240_000) {
    await market.ask({ strategy: 'failover' });
    market.world.now += 60;
  }
  const openai = (from: number, to: number) =>
    calls.filter(({ at, provider }) => provider === 'openai' && at >= from && at < to).length;
  expect(openai(0, 20_000)).toBeGreaterThan(150);
  // Ill: five in a row open it, then a probe per pause of 5, 10, 20 s.
  expect(openai(20_000, 60_000)).toBeLessThan(12);
  // Well again: found by a probe within the pause that was running, then 10, 25, 50 % and all.
  const well = calls.filter(({ at, provider }) => provider === 'openai' && at > 60_000).map(({ at }) => at);
  const foundAt = well[0] ?? Infinity;
  expect(foundAt).toBeLessThan(60_000 + 50_000);
  const shares = [0, 10_000, 20_000, 30_000].map((from) => openai(foundAt + from, foundAt + from + 10_000));
  expect(shares[0]).toBeGreaterThan(2);
  expect(shares[0]).toBeLessThan((shares[3] ?? 0) * 0.3);
  expect(shares[1]).toBeLessThan((shares[3] ?? 0) * 0.45);
  expect(shares[2]).toBeLessThan((shares[3] ?? 0) * 0.75);
  expect(shares[3]).toBeGreaterThan(80);
});
