import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createThrottleStore, createLocalStore, type ThrottleStore } from '#src/modules/auth/throttle-store.ts';
import { createThrottle } from '#src/modules/auth/throttle.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { AppError } from '#src/errors.ts';
import { aUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp({ RATE_LIMIT_SCALE: '1', RATE_LIMIT_INSTANCES: '2' });
});
afterAll(() => test.close());

const BACKOFF = { free: 3, baseMs: 60_000, capMs: 240_000, forgetMs: 600_000 };
const WINDOW = { limit: 5, windowMs: 60_000 };

/** Moves the time of a key on: in Redis by rewriting when the next may come. */
const stores: [string, () => { store: ThrottleStore; pass: (key: string, ms: number) => Promise<void> }][] = [
  [
    'in Redis',
    () => ({
      store: createThrottleStore(test.rt.redis, 2, test.rt.log),
      pass: async (key, ms) => void (await test.rt.redis.hincrby(key, 'next', -ms)),
    }),
  ],
  [
    'in memory',
    () => {
      let now = 1000;
      return { store: createLocalStore(() => now), pass: async (_key, ms) => void (now += ms) };
    },
  ],
];

describe.each(stores)('counters %s', (name, open) => {
  const key = (text: string) => `${test.config.REDIS_PREFIX}:${name.replace(' ', '-')}:${text}`;

  it('let the free ones pass, then wait twice as long each time, up to the cap', async () => {
    const { store, pass } = open();
    const count = () => store.countWithBackoff(key('a'), BACKOFF);
    expect([await count(), await count(), await count()]).toEqual([0, 0, 0]);
    for (const delayMs of [60_000, 120_000, 240_000, 240_000]) {
      const waitMs = await count();
      expect(waitMs).toBeGreaterThan(delayMs - 5000);
      expect(waitMs).toBeLessThanOrEqual(delayMs);
      // Asking too early costs nothing.
      expect(await count()).toBeLessThanOrEqual(waitMs);
      await pass(key('a'), delayMs);
      expect(await count()).toBe(0);
    }
    await store.forget(key('a'));
    expect(await count()).toBe(0);
  });

  it('let exactly the free ones of a hundred parallel ones pass, and one of a hundred when the wait is over', async () => {
    const { store, pass } = open();
    const burst = async () => {
      const waits = Array.from({ length: 100 }, () => store.countWithBackoff(key('b'), BACKOFF));
      return (await Promise.all(waits)).filter((waitMs) => waitMs === 0).length;
    };
    expect(await burst()).toBe(3);
    await pass(key('b'), 60_000);
    expect(await burst()).toBe(1);
  });

  it('let exactly the limit pass in a window', async () => {
    const { store } = open();
    const count = () => store.countInWindow(key('c'), WINDOW);
    const waits = await Promise.all(Array.from({ length: 50 }, count));
    expect(waits.filter((waitMs) => waitMs === 0)).toHaveLength(5);
    expect(Math.max(...waits)).toBeGreaterThan(50_000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(60_000);
  });
});

it('keeps at most so many counters in memory', async () => {
  const store = createLocalStore(() => 0, 100);
  const once = { limit: 1, windowMs: 1000 };
  for (let at = 0; at < 101; at += 1) await store.countInWindow(String(at), once);
  expect(await store.countInWindow('100', once)).toBeGreaterThan(0);
  expect(await store.countInWindow('0', once)).toBe(0);
});

it('counts in this process while Redis is away, each of two a half', async () => {
  const away = new Redis({ port: 1, lazyConnect: true, enableOfflineQueue: false, retryStrategy: () => null });
  away.on('error', () => undefined);
  const throttle = createThrottle(away, test.config, test.rt.log);
  const tries = Array.from({ length: 25 }, () => throttle.attempt('ana@example.com').then(() => 'free'));
  const outcomes = await Promise.allSettled(tries);
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
  const refused = outcomes.find((outcome) => outcome.status === 'rejected');
  expect(refused?.reason).toBeInstanceOf(AppError);
  expect(refused?.reason).toMatchObject({ status: 429, code: 'login_throttled' });
  away.disconnect();
});

let callers = 0;
/** Each call from a network of its own: the limits of networks are another's to test. */
const call = (path: string, payload: object, headers: Record<string, string> = {}) => {
  callers += 1;
  const remoteAddress = `10.0.${callers >> 8}.${callers & 255}`;
  return test.app.inject({ method: 'POST', url: `/api/auth/${path}`, payload, headers, remoteAddress });
};
const login = (email: string, password: string) => call('login', { email, password });
const burst = (email: string) => Promise.all(Array.from({ length: 20 }, (_, at) => login(email, `guess-${at}-guess`)));
type Answers = Awaited<ReturnType<typeof burst>>;
/** All that an answer says but how long ago the last attempt was. */
const shown = (answers: Answers) =>
  answers
    .map(({ statusCode, body }) => `${statusCode} ${body.replace(/"retryAfterMs":\d+/, '"retryAfterMs":…')}`)
    .toSorted((a, b) => a.localeCompare(b));

describe('signing in', () => {
  it('makes guessers at an account wait after ten, also in parallel, and for an unknown address just so', async () => {
    const { email } = await aUser(test.rt);
    const known = await burst(email);
    expect(shown(known)).toEqual(shown(await burst('nobody@example.com')));
    expect(known.filter(({ statusCode }) => statusCode === 401)).toHaveLength(10);
    const refused = known.filter(({ statusCode }) => statusCode === 429);
    expect(refused).toHaveLength(10);
    expect(refused[0]?.json()).toMatchObject({ code: 'login_throttled' });
    expect(refused[0]?.headers['retry-after']).toBe('1');
  });

  it('is never locked: the owner comes in after the wait, and is free again', async () => {
    const { email, password } = await aUser(test.rt);
    const guesses = Array.from({ length: 10 }, () => login(email, 'not-this-one'));
    // With them, not after them: ten hashes can take the second that the wait lasts.
    const early = login(email, password);
    await Promise.all([...guesses, early]);
    expect((await early).statusCode).toBe(429);
    await expect.poll(async () => (await login(email, password)).statusCode).toBe(200);
    for (let at = 0; at < 9; at += 1) await login(email, 'not-this-one');
    expect((await login(email, password)).statusCode).toBe(200);
  });

  it('counts passwords that are asked for again, too', async () => {
    const { email, headers } = await aUser(test.rt);
    const setups = Array.from({ length: 8 }, () => call('totp/setup', { password: 'not-this-one' }, headers));
    const logins = Array.from({ length: 8 }, () => login(email, 'not-this-one'));
    const answers = await Promise.all([...setups, ...logins]);
    const throttled = answers.filter((answer) => answer.json().code === 'login_throttled');
    expect(throttled).toHaveLength(6);
    expect(answers.filter(({ statusCode }) => statusCode === 403 || statusCode === 401)).toHaveLength(10);
  });

  it('counts codes of the second factor: a right password alone forgets nothing', async () => {
    const { email, password, headers, user } = await aUser(test.rt);
    await call('totp/setup', { password }, headers);
    await test.rt.orm.em.fork().nativeUpdate(User, { id: user.id }, { totpEnabledAt: new Date() });
    const tries = Array.from({ length: 14 }, (_, at) =>
      call('login', { email, password, ...(at % 2 === 0 ? {} : { totp: 'no code' }) }),
    );
    const codes = (await Promise.all(tries)).map((answer) => answer.json<{ code: string }>().code);
    expect(codes.filter((code) => code === 'login_throttled')).toHaveLength(4);
    expect(codes.filter((code) => code === 'totp_required')).toHaveLength(5);
  });

  it('keeps counting codes where a signed-in person has only the password', async () => {
    const { email, password, headers, user } = await aUser(test.rt);
    await call('totp/setup', { password }, headers);
    await test.rt.orm.em.fork().nativeUpdate(User, { id: user.id }, { totpEnabledAt: new Date() });
    for (let at = 0; at < 8; at += 1) await login(email, 'not-this-one');
    expect((await call('totp/setup', { password }, headers)).statusCode).toBe(409);
    const common = { currentPassword: password, newPassword: 'password1234' };
    expect((await call('change-password', common, headers)).statusCode).toBe(400);
    expect((await login(email, 'not-this-one')).statusCode).toBe(429);
  });

  it('leaves no address in Redis', async () => {
    const keys = await test.rt.redis.keys(`${test.config.REDIS_PREFIX}:throttle:*`);
    expect(keys.length).toBeGreaterThan(2);
    for (const key of keys) expect(key).toMatch(/:throttle:(account|mail):[\w-]{22}$/);
    const lives = await Promise.all(keys.map((key) => test.rt.redis.pttl(key)));
    expect(Math.min(...lives)).toBeGreaterThan(0);
  });
});
