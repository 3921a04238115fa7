import { randomBytes, randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, expect, it } from 'vitest';
import { createAnswerCache } from '#src/modules/ai/answer-cache.ts';

const prefix = `t${randomUUID().slice(0, 8)}`;
const appSecret = randomBytes(32).toString('base64');
const connections: Redis[] = [];
const open = (url = process.env['REDIS_URL'] ?? ''): Redis => {
  const redis = new Redis(url, { maxRetriesPerRequest: 1, enableOfflineQueue: false, retryStrategy: () => null });
  redis.on('error', () => undefined);
  connections.push(redis);
  return redis;
};
/** One process's cache. */
const cacheOf = async (leaseMs = 300, ttlMs = 60_000) => {
  const redis = open();
  await new Promise((resolve) => redis.once('ready', resolve));
  return createAnswerCache({ redis, prefix, appSecret, ttlMs, leaseMs });
};
afterAll(() => connections.forEach((redis) => redis.disconnect()));

const asText = { toKept: (value: string) => ({ value, degraded: false }), fromKept: String };
const lookup = (text: string, run: () => Promise<string>, signal = new AbortController().signal) => ({
  of: { workspaceId: 'w', input: { text } },
  signal,
  run,
  ...asText,
});
const later = <Value>(value: Value, ms: number) => new Promise<Value>((resolve) => setTimeout(resolve, ms, value));

it('makes one answer for all who ask at the same time in two processes, and keeps it', async () => {
  const caches = [await cacheOf(), await cacheOf()] as const;
  let runs = 0;
  const run = () => later(`resposta ${(runs += 1)}`, 700);
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, at) => caches[at % 2 ? 0 : 1].through(lookup('oi', run))),
  );
  expect(runs).toBe(1);
  expect(new Set(all.map(({ outcome }) => outcome))).toEqual(new Set(['resposta 1']));
  expect(all.filter(({ isCached }) => !isCached)).toHaveLength(1);
  expect(await caches[0].through(lookup('oi', run))).toEqual({ outcome: 'resposta 1', isCached: true });
  expect(await caches[0].through(lookup('olá', () => Promise.resolve('outra')))).toEqual({
    outcome: 'outra',
    isCached: false,
  });
});

it('is another answer for another workspace', async () => {
  const cache = await cacheOf();
  await cache.through(lookup('segredo', () => Promise.resolve('de w')));
  const other = {
    ...lookup('segredo', () => Promise.resolve('de v')),
    of: { workspaceId: 'v', input: { text: 'segredo' } },
  };
  expect(await cache.through(other)).toEqual({ outcome: 'de v', isCached: false });
});

it('lets another make the answer when the first fails, and does not pass the failure on', async () => {
  const caches = [await cacheOf(), await cacheOf()] as const;
  const failing = caches[0].through(
    lookup('falha', () => later('', 100).then(() => Promise.reject(new Error('broke')))),
  );
  await later(null, 30);
  const following = caches[1].through(lookup('falha', () => Promise.resolve('boa')));
  await expect(failing).rejects.toThrow('broke');
  expect(await following).toEqual({ outcome: 'boa', isCached: false });
});

it('lets another make the answer when the first dies', async () => {
  const [dying, living] = [await cacheOf(), await cacheOf()];
  void dying.through(lookup('morte', () => new Promise(() => undefined)));
  await later(null, 50);
  connections.at(-2)?.disconnect();
  expect(await living.through(lookup('morte', () => Promise.resolve('viva')))).toEqual({
    outcome: 'viva',
    isCached: false,
  });
});

it('stops waiting when its own job is stopped', async () => {
  const cache = await cacheOf();
  void cache.through(lookup('longa', () => later('tarde', 2000)));
  await later(null, 30);
  const controller = new AbortController();
  const waiting = cache.through(lookup('longa', () => Promise.resolve('nunca'), controller.signal));
  setTimeout(() => controller.abort(new Error('cancelled')), 50);
  await expect(waiting).rejects.toThrow('cancelled');
});

it('forgets what the rules answered sooner, and anything after its time', async () => {
  const cache = await cacheOf(300, 200);
  const first = {
    ...lookup('breve', () => Promise.resolve('um')),
    toKept: (value: string) => ({ value, degraded: true }),
  };
  await cache.through(first);
  await later(null, 300);
  expect(await cache.through(lookup('breve', () => Promise.resolve('dois')))).toEqual({
    outcome: 'dois',
    isCached: false,
  });
});

it('just makes the answer while Redis is away, or when what was kept cannot be read', async () => {
  const redis = open('redis://127.0.0.1:1');
  const alone = createAnswerCache({ redis, prefix, appSecret, ttlMs: 1000 });
  expect(await alone.through(lookup('só', () => Promise.resolve('feita')))).toEqual({
    outcome: 'feita',
    isCached: false,
  });
  const cache = await cacheOf();
  await cache.through(lookup('forma', () => Promise.resolve('velha')));
  const changed = {
    ...lookup('forma', () => Promise.resolve('nova')),
    fromKept: () => {
      throw new Error('shape');
    },
  };
  expect(await cache.through(changed)).toEqual({ outcome: 'nova', isCached: false });
});

it('shows Redis neither the text nor the answer', async () => {
  const cache = await cacheOf();
  await cache.through(lookup('CPF 123.456.789-09', () => Promise.resolve('CPF 123.456.789-09')));
  const redis = connections.at(-1);
  await later(null, 50);
  const keys = (await redis?.keys(`${prefix}:*`)) ?? [];
  const values = await Promise.all(keys.map(async (key) => redis?.get(key)));
  expect(keys.length).toBeGreaterThan(0);
  expect(`${keys.join()}${values.join()}`).not.toContain('456');
});
