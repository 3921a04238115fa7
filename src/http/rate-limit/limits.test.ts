import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebSocket as Socket } from 'ws';
import { z } from 'zod';
import { aUser } from '../../../test/factories.ts';
import { openTestApp, openTestRuntime, type TestApp } from '../../../test/harness.ts';
import { createInstallation, startRedis } from '../../../test/processes.ts';
import { buildApp } from '#src/app.ts';
import { createLimiter } from '#src/http/rate-limit/limiter.ts';
import { createLog } from '#src/lib/log.ts';
import { openRedis, isRedisReady } from '#src/lib/redis.ts';

/** What is counted here is counted in Redis, however slow the machine is. */
const ONE_COUNT = { RATE_LIMIT_SCALE: '1', RATE_LIMIT_PATIENCE_MS: '60000' };

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp(ONE_COUNT);
});
afterAll(() => test.close());

const ask = (headers: Record<string, string>, app = test.app) =>
  app.inject({ method: 'POST', url: '/api/ai/sentiment', headers, payload: { text: 'Adorei!' } });

it('admits exactly twenty of five hundred that come at once through two processes', async () => {
  // One of twenty comes back every five minutes: none while the requests run, however slow the machine is.
  const limits = JSON.stringify({ ai: { windowSeconds: 6000, quota: 20 } });
  const installation = await createInstallation({ ...ONE_COUNT, RATE_LIMITS: limits });
  try {
    const apis = [await installation.startApi(), await installation.startApi()];
    const post = (at: number, path: string, body: object, headers: Record<string, string> = {}) =>
      fetch(`${apis[at % 2]?.url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      });
    const person = { email: 'ana@example.com', password: 'a long enough password', name: 'Ana' };
    const { token } = z.object({ token: z.string() }).parse(await (await post(0, '/api/auth/register', person)).json());
    const headers = { authorization: `Bearer ${token}` };
    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, at) => post(at, '/api/ai/sentiment', { text: 'Adorei!' }, headers)),
    );
    const admitted = answers.filter(({ status }) => status === 202);
    const refused = answers.filter(({ status }) => status === 429);
    expect([admitted.length, refused.length]).toEqual([20, 480]);
    const { rows } = await installation.pool.query('select count(*)::int as n from job');
    expect(rows).toEqual([{ n: 20 }]);
    for (const answer of refused) {
      const problem: unknown = await answer.json();
      expect(problem).toMatchObject({ code: 'rate_limited', status: 429 });
      const { retryAfterMs } = z.object({ retryAfterMs: z.number() }).parse(problem);
      expect(Math.ceil(retryAfterMs / 1000)).toBe(Number(answer.headers.get('retry-after')));
      expect(retryAfterMs).toBeGreaterThan(0);
      expect(retryAfterMs).toBeLessThanOrEqual(300_000);
    }
  } finally {
    await installation.close();
  }
});

it('says in each answer which limits there are and what is left of the tightest', async () => {
  const { headers } = await aUser(test.rt);
  const first = await ask(headers);
  expect(first.headers['ratelimit-policy']).toBe(
    '"ip";q=1200;w=60, "user";q=300;w=60, "workspace";q=600;w=60, "ai";q=20;w=60',
  );
  expect(first.headers['ratelimit']).toBe('"ai";r=19;t=3');
  const list = await test.app.inject({ url: '/api/jobs', headers });
  expect(list.headers['ratelimit']).toMatch(/^"(user|ip)";r=\d+;t=\d+$/);
  expect((await test.app.inject('/api/health/live')).headers['ratelimit']).toBeUndefined();
});

it('counts as the operator has configured, by name and by route', async () => {
  const limits = {
    ai: { quota: { free: 7 } },
    login: { windowSeconds: 10, quota: 3 },
    'GET /api/jobs/:id': { quota: { free: 2, pro: 5 }, windowSeconds: 60 },
  };
  const configured = await openTestApp({ ...ONE_COUNT, RATE_LIMITS: JSON.stringify(limits) });
  const { app } = configured;
  const { headers } = await aUser(configured.rt);
  const job = await ask(headers, app);
  expect(job.headers['ratelimit-policy']).toContain('"ai";q=7;w=60');
  const login = await app.inject({ method: 'POST', url: '/api/auth/login', payload: {} });
  expect(login.headers['ratelimit']).toBe('"login";r=2;t=4');
  const read = (method: 'GET' | 'HEAD' = 'GET') =>
    app.inject({ method, url: `/api/jobs/${job.json().jobId}`, headers });
  expect((await read()).headers['ratelimit']).toBe('"GET /api/jobs/:id";r=1;t=30');
  expect((await read()).statusCode).toBe(200);
  expect((await read()).json()).toMatchObject({ status: 429, detail: expect.stringContaining('"GET /api/jobs/:id"') });
  expect((await app.inject({ url: '/api/jobs', headers })).statusCode).toBe(200);
  await configured.close();
});

it.each([
  ['{', 'RATE_LIMITS: must be JSON'],
  ['{"ia":{"quota":3}}', 'RATE_LIMITS: "ia" is neither a route'],
  ['{"ai":{"quota":0}}', 'RATE_LIMITS.ai.quota'],
  ['{"ai":{"by":"ip"}}', 'RATE_LIMITS: "ai" counts by user'],
  ['{"GET /api/jobs":{"quota":3}}', 'RATE_LIMITS: "GET /api/jobs" is a route: it needs windowSeconds'],
  ['{"GET /api/nothing":{"quota":3,"windowSeconds":1}}', 'RATE_LIMITS: there is no route "GET /api/nothing"'],
])('does not start with limits it cannot keep: %s', async (text, message) => {
  const opening = openTestApp({ RATE_LIMITS: text }).then((opened) => opened.close());
  await expect(opening).rejects.toThrow(message);
});

it('gives a better plan more', async () => {
  const { headers, workspace } = await aUser(test.rt);
  await test.rt.systemPool.query(`update workspace set plan = 'pro' where id = $1`, [workspace.id]);
  expect((await ask(headers)).headers['ratelimit']).toBe('"ai";r=59;t=1');
});

it('refuses a submit over a socket with the same problem, out of the same bucket as requests', async () => {
  const { headers, token } = await aUser(test.rt);
  const url = await test.app.listen({ host: '127.0.0.1', port: 0 });
  const socket = new Socket(`${url.replace('http', 'ws')}/api/ws`);
  const replies = new Map<unknown, Record<string, unknown>>();
  socket.on('message', (bytes: Buffer) => {
    const frame = JSON.parse(bytes.toString()) as Record<string, unknown>;
    if (frame['type'] === 'reply') replies.set(frame['id'], frame);
  });
  await once(socket, 'open');
  const send = (frame: object) => socket.send(JSON.stringify(frame));
  send({ type: 'auth', id: 'auth', token });
  await expect.poll(() => replies.get('auth')).toMatchObject({ ok: true });

  const startedAt = performance.now();
  const requests = await Promise.all(Array.from({ length: 15 }, () => ask(headers)));
  expect(requests.map(({ statusCode }) => statusCode)).toEqual(requests.map(() => 202));
  const ids = Array.from({ length: 30 }, (_, at) => at);
  for (const id of ids) send({ type: 'submit', id, engine: 'sentiment', input: { text: 'Adorei!' } });
  await expect.poll(() => ids.every((id) => replies.has(id))).toBe(true);
  const refused = ids.map((id) => replies.get(id)).filter((reply) => reply?.['ok'] !== true);
  const admitted = 15 + 30 - refused.length;
  expect(admitted).toBeGreaterThanOrEqual(20);
  // One comes back every 3 s while they run.
  expect(admitted).toBeLessThanOrEqual(20 + (performance.now() - startedAt) / 3000);
  for (const reply of refused) {
    expect(reply).toHaveProperty(
      'problem.retryAfterMs',
      expect.toSatisfy((ms: number) => ms > 0 && ms <= 3000),
    );
    expect(reply).toMatchObject({
      ok: false,
      problem: {
        type: 'urn:whatshybrid:problem:rate_limited',
        status: 429,
        code: 'rate_limited',
        detail: expect.stringMatching(/^Too many requests under the limit "ai"\. Try again in [123] s\.$/),
      },
    });
  }

  // The socket stays open, and what is no submit is not counted.
  send({ type: 'unsubscribe', id: 'after', topic: 'job:none' });
  await expect.poll(() => replies.get('after')).toMatchObject({ ok: true });
  socket.close();
});

it('lets nobody guess tokens, and believes no header about who asks', async () => {
  const startedAt = performance.now();
  const statuses = await Promise.all(
    Array.from({ length: 200 }, async (_, at) => {
      const headers = { authorization: `Bearer guess-${at}`, 'x-forwarded-for': `10.0.${at}.1` };
      return (await test.app.inject({ url: '/api/auth/me', headers, remoteAddress: '203.0.113.9' })).statusCode;
    }),
  );
  const count = (status: number) => statuses.filter((one) => one === status).length;
  expect(count(401)).toBeGreaterThanOrEqual(120);
  // Two tokens of the bucket come back every second while the requests run.
  expect(count(401)).toBeLessThanOrEqual(121 + (performance.now() - startedAt) / 500);
  expect(count(401) + count(429)).toBe(200);
});

it('takes ten thousand addresses of one IPv6 network for one caller, and a mapped IPv4 address for itself', async () => {
  const limiter = createLimiter({ ...test.config, RATE_LIMIT_SCALE: 1 }, test.rt.redis);
  const take = (ip: string) =>
    limiter.take(['register'], { ip, auth: null }).then(
      () => 1,
      () => 0,
    );
  let admitted = 0;
  for (let at = 0; at < 10_000; at += 100) {
    const batch = Array.from({ length: 100 }, (_, n) => take(`2001:db8:1:2:${(at + n).toString(16)}::1`));
    for (const one of await Promise.all(batch)) admitted += one;
  }
  expect(admitted).toBeGreaterThanOrEqual(10);
  expect(admitted).toBeLessThan(16);
  for (let at = 0; at < 10; at += 1) await take('198.51.100.7');
  expect(await take('::ffff:198.51.100.7')).toBe(0);
});

it('goes on counting in its own process while Redis is away, and answers no 5xx', async () => {
  const redis = await startRedis();
  const away = await openTestRuntime({ REDIS_URL: redis.url, RATE_LIMIT_SCALE: '1' });
  const app = await buildApp(away.rt);
  const { headers } = await aUser(away.rt);
  const list = () => app.inject({ url: '/api/jobs', headers });
  expect((await list()).statusCode).toBe(200);
  await redis.stop();
  const reads = await Promise.all(Array.from({ length: 400 }, list));
  const statuses = reads.map(({ statusCode }) => statusCode);
  expect(statuses.filter((status) => status === 200)).toHaveLength(300);
  expect(statuses.filter((status) => status === 429)).toHaveLength(100);
  const logins = await Promise.all(
    // Each another account, because accounts are counted too.
    Array.from({ length: 40 }, (_, at) =>
      app.inject({ method: 'POST', url: '/api/auth/login', payload: { email: `not an address ${at}`, password: 'x' } }),
    ),
  );
  // Half of thirty: the other process may admit the other half.
  expect(logins.filter(({ statusCode }) => statusCode !== 429)).toHaveLength(15);
  await app.close();
  await away.close();
});

it('does not wait for a Redis that is silent', async () => {
  const silent = openRedis('redis://127.0.0.1:1', 'commands', createLog('silent', 'test'));
  expect(await isRedisReady(silent, 50)).toBe(false);
  const limiter = createLimiter({ ...test.config, RATE_LIMIT_SCALE: 1 }, silent);
  expect(await limiter.take(['ai'], { ip: '192.0.2.1', auth: null })).toEqual({
    'ratelimit-policy': '"ai";q=20;w=60',
    ratelimit: '"ai";r=19;t=3',
  });
  silent.disconnect();
});

/** What a caller has left of a bucket of which one comes back after 12 s: tells which callers are taken for one. */
const left = async ({ app }: TestApp, remoteAddress: string, forwarded: string) => {
  const headers = { 'x-forwarded-for': forwarded };
  const answer = await app.inject({
    method: 'POST',
    url: '/api/auth/forgot-password',
    headers,
    remoteAddress,
    payload: {},
  });
  expect(answer.statusCode).toBe(400);
  return /^"mail";r=(\d);/.exec(String(answer.headers['ratelimit']))?.[1];
};

it('takes the address that the last proxy names when one is trusted, and no named address when none is', async () => {
  const behindOne = await openTestApp({ ...ONE_COUNT, TRUST_PROXY: '1' });
  expect(await left(behindOne, '192.0.2.10', '198.51.100.20')).toBe('4');
  expect(await left(behindOne, '192.0.2.10', '10.0.0.1, 198.51.100.20')).toBe('3');
  expect(await left(behindOne, '192.0.2.11', '10.0.0.2, 10.0.0.3, 198.51.100.20')).toBe('2');
  expect(await left(behindOne, '192.0.2.10', '198.51.100.20, 198.51.100.21')).toBe('4');
  await behindOne.close();

  expect(await left(test, '192.0.2.10', '198.51.100.20')).toBe('4');
  expect(await left(test, '192.0.2.10', '198.51.100.21')).toBe('3');
  expect(await left(test, '192.0.2.11', '198.51.100.20')).toBe('4');
});
