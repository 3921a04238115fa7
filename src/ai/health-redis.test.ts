import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newBreaker, phaseOf } from '#src/ai/circuit-breaker.ts';
import { factsOf } from '#src/ai/catalog.ts';
import { Estimates } from '#src/ai/estimates.ts';
import { type HealthReport, MemoryHealth, type Park } from '#src/ai/health.ts';
import { RedisHealth } from '#src/ai/health-redis.ts';
import { REPORT_LUA } from '#src/ai/health-script.ts';
import { seeded } from '#src/ai/__fixtures__/seeded.ts';

let redis: Redis;
beforeAll(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '', { enableOfflineQueue: true, maxRetriesPerRequest: 1 });
});
afterAll(() => redis.disconnect());

const SICK = ['success', 'fault', 'fault', 'fault', 'neutral'] as const;
const WELL = ['success', 'success', 'success', 'success', 'success', 'fault', 'neutral'] as const;
const newPrefix = () => `wh-health-${randomBytes(6).toString('hex')}`;
const epoch = () => performance.timeOrigin + performance.now();
const shared = (prefix: string, estimates = new Estimates()) =>
  new RedisHealth({ redis, prefix, estimates, clock: epoch, random: () => 0.5 });

function report(extra: Partial<HealthReport> = {}): HealthReport {
  const model = extra.model ?? 'gpt-4o';
  return {
    provider: 'openai',
    model,
    outcome: 'fault',
    weight: 1,
    isSlow: false,
    jobId: 'a',
    parks: [],
    sample: {
      id: `openai/${model}`,
      engine: 'copilot',
      isStreamed: true,
      inputTokens: 100,
      outputTokens: 50,
      maxOutputTokens: 800,
      firstMs: 400,
      totalMs: 900,
      outcome: extra.outcome ?? 'fault',
    },
    ...extra,
  };
}

const open = async (health: RedisHealth) => {
  for (let at = 0; at < 6; at++) health.report(report({ jobId: `job${at}` }));
  await redis.ping();
};
const look = async (health: RedisHealth, wait = 260) => {
  await new Promise((resolve) => setTimeout(resolve, wait));
  await health.refresh(['openai', 'openai/gpt-4o'], ['openai:k1']);
  return health.gate('openai', 'openai/gpt-4o');
};

it('keeps the same state in Redis as in a process, whatever is reported', async () => {
  const prefix = newPrefix();
  redis.defineCommand('playReport', { lua: REPORT_LUA });
  const play = redis as Redis & { playReport(...args: (string | number)[]): Promise<number> };
  const states = new Set<string>();
  for (let seed = 1; seed <= 8; seed++) {
    const random = seeded(seed);
    const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] ?? expect.fail();
    let now = 1_790_000_000_000 + Math.floor(random() * 100_000);
    const memory = new MemoryHealth(() => now);
    const at = (name: string) => `{${prefix}}:${seed}:${name}`;
    for (let step = 0; step < 150; step++) {
      now += Math.floor(random() ** 4 * 20_000);
      const parks: Park[] =
        random() < 0.3
          ? [
              {
                scope: pick(['openai:k1', 'openai:k2']),
                field: pick(['*', 'm1']),
                ms: pick([0, 2000, 900_000]),
                reason: pick(['rate_limited', 'quota_exhausted', 'auth'] as const),
              },
            ]
          : [];
      const event = report({
        model: pick(['m1', 'm1', 'm2', 'm3', 'm4']),
        outcome: pick(step % 60 < 30 ? SICK : WELL),
        weight: pick([1, 0.5]),
        isSlow: random() < 0.5,
        jobId: pick(['a', 'b']),
        parks,
      });
      const jitter = Math.floor(random() * 1000) / 1000;
      memory.apply(event, jitter);
      const keys = [at(`openai/${event.model}`), at('openai'), at('samples'), ...parks.map(({ scope }) => at(scope))];
      const parked = parks.flatMap(({ field, ms, reason }) => [field, ms, reason]);
      const { model, outcome, weight, isSlow, jobId } = event;
      const values = [now, model, outcome, weight, isSlow ? 1 : 0, jobId, jitter, '', ...parked];
      await play.playReport(keys.length, ...keys, ...values);
      for (const name of [`openai/${event.model}`, 'openai']) {
        const text = await redis.get(at(name));
        if (text !== null) expect(JSON.parse(text), `seed ${seed} step ${step} ${name}`).toEqual(memory.breaker(name));
      }
      for (const name of ['openai/m1', 'openai'])
        states.add(`${name} ${phaseOf(memory.breaker(name) ?? newBreaker(), now)}`);
      for (const { scope } of parks) {
        const text = await redis.get(at(scope));
        expect(text === null ? {} : JSON.parse(text)).toEqual(memory.parking(scope));
      }
    }
  }
  expect(states.size).toBe(8);
});

describe('two processes', () => {
  it('see one breaker, and one of them alone probes it', async () => {
    const prefix = newPrefix();
    const [one, other] = [shared(prefix), shared(prefix)];
    await open(one);
    expect(await look(other)).toMatchObject({ phase: 'open' });
    // The pause is over at once.
    const key = `{${prefix}}:ai:breaker:openai/gpt-4o`;
    const state = JSON.parse((await redis.get(key)) ?? '{}');
    await redis.set(key, JSON.stringify({ ...state, openUntil: Date.now() - 1 }));
    expect(await look(one)).toMatchObject({ phase: 'half_open', isProbeFree: true });
    await look(other, 0);
    for (let probe = 0; probe < 3; probe++) {
      const claims = await Promise.all([
        one.takeProbe('openai', 'openai/gpt-4o'),
        other.takeProbe('openai', 'openai/gpt-4o'),
        one.takeProbe('openai', 'openai/gpt-4o'),
        other.takeProbe('openai', 'openai/gpt-4o'),
      ]);
      expect(claims.filter(Boolean)).toHaveLength(1);
      one.report(report({ outcome: 'success' }));
      await redis.ping();
    }
    expect(await look(other)).toMatchObject({ phase: 'ramping', share: 0.1 });
  });

  it('share parked keys and what calls have shown', async () => {
    const prefix = newPrefix();
    const seen = new Estimates();
    const stats = seen.of('openai/gpt-4o', factsOf('openai', 'gpt-4o'));
    const [one, other] = [shared(prefix), shared(prefix, seen)];
    const parks: Park[] = [{ scope: 'openai:k1', field: '*', ms: 60_000, reason: 'auth' }];
    for (let at = 0; at < 6; at++) one.report(report({ outcome: 'success', parks }));
    await redis.ping();
    await look(other, 0);
    expect(other.parked('openai:k1', 'gpt-4o')).toMatchObject({ reason: 'auth' });
    expect(stats.anyPercentile(0.5, other.now())).toBeGreaterThan(350);
    expect(stats.sampledAt).toBeGreaterThan(Date.now() - 5000);
  });

  it('put nothing into Redis but names, numbers and ids', async () => {
    const prefix = newPrefix();
    await open(shared(prefix));
    const keys = await redis.keys(`{${prefix}}:*`);
    expect(keys.toSorted()).toEqual(
      ['breaker:openai', 'breaker:openai/gpt-4o', 'samples'].map((name) => `{${prefix}}:ai:${name}`),
    );
    for (const key of keys) expect(await redis.pttl(key)).toBeGreaterThan(0);
  });
});

describe('without Redis', () => {
  it('goes on alone, and loses at most the patience once', async () => {
    const gone = new Redis({ port: 1, lazyConnect: true, retryStrategy: () => null, enableOfflineQueue: false });
    gone.on('error', () => undefined);
    const health = new RedisHealth({ redis: gone, prefix: 'x', estimates: new Estimates(), clock: epoch });
    expect(health.refresh(['openai'], [])).toBeUndefined();
    for (let at = 0; at < 6; at++) health.report(report({ jobId: `job${at}` }));
    expect(health.gate('openai', 'openai/gpt-4o').phase).toBe('open');
    expect(await health.takeProbe('openai', 'openai/gpt-4o')).toBe(false);
  });

  // Again when the machine was busy: what broke would be late each time.
  it('waits 100 ms for one that is silent, and then not again for a second', { retry: 3 }, async () => {
    const prefix = newPrefix();
    const silent = new Redis(process.env['REDIS_URL'] ?? '');
    await silent.ping();
    const health = new RedisHealth({ redis: silent, prefix, estimates: new Estimates(), clock: epoch });
    // A blocking read ahead of it on the same connection.
    const blocked = silent.blpop(`{${prefix}}:nothing`, 1);
    const started = performance.now();
    await health.refresh(['openai'], []);
    expect(performance.now() - started).toBeGreaterThan(90);
    expect(performance.now() - started).toBeLessThan(400);
    expect(health.refresh(['openai'], [])).toBeUndefined();
    await blocked;
    silent.disconnect();
  });
});
