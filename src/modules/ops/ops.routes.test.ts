import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestApp } from '#test/harness.ts';
import { openTestApp } from '#test/harness.ts';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp({ OPS_USER: 'ops' });
});
afterAll(() => test.close());

const basic = (password: string) => ({ authorization: `Basic ${Buffer.from(`ops:${password}`).toString('base64')}` });

describe.each(['/ops/queues', '/ops/queues/api/queues', '/metrics'])('%s', (url) => {
  it.each([
    ['without credentials', {}],
    ['with a wrong password', basic('wrong password')],
  ])('%s makes a browser ask for the ops user and password', async (_name, headers) => {
    const answer = await test.app.inject({ url, headers });
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['www-authenticate']).toMatch(/^Basic realm=/);
    expect(answer.headers['content-type']).toMatch('application/problem+json');
    expect(answer.json()).toMatchObject({ status: 401, code: 'unauthenticated' });
  });

  it('opens with them', async () => {
    const answer = await test.app.inject({ url, headers: basic(test.config.OPS_PASSWORD) });
    expect(answer.statusCode).toBe(200);
  });
});

it('lets nobody guess the password: past ten a second not even the right one is looked at', async () => {
  // On a busy machine too Redis alone counts.
  const limited = await openTestApp({ RATE_LIMIT_SCALE: '1', RATE_LIMIT_PATIENCE_MS: '10000' });
  const from = (remoteAddress: string, password: string) =>
    limited.app.inject({ url: '/ops/queues', headers: basic(password), remoteAddress });
  const startedAt = performance.now();
  const guesses = await Promise.all(Array.from({ length: 1000 }, (_, at) => from('203.0.113.9', `guess ${at}`)));
  const refused = guesses.filter(({ statusCode }) => statusCode === 401);
  // Ten come back every second while they run.
  const seconds = (performance.now() - startedAt) / 1000;
  expect(refused.length).toBeGreaterThanOrEqual(600);
  expect(refused.length).toBeLessThanOrEqual(600 + Math.ceil(10 * seconds));
  expect(guesses.filter(({ statusCode }) => statusCode === 200)).toEqual([]);
  const last = await Promise.all(Array.from({ length: 200 }, () => from('203.0.113.9', limited.config.OPS_PASSWORD)));
  const answer = last.find(({ statusCode }) => statusCode === 429);
  expect(answer?.json()).toMatchObject({ status: 429, code: 'rate_limited' });
  expect(Number(answer?.headers['retry-after'])).toBeGreaterThanOrEqual(1);
  expect((await from('203.0.113.10', limited.config.OPS_PASSWORD)).statusCode).toBe(200);
  await limited.close();
});

it('the board may load its own scripts, and only those', async () => {
  const page = await test.app.inject({ url: '/ops/queues', headers: basic(test.config.OPS_PASSWORD) });
  expect(page.headers['content-type']).toMatch('text/html');
  expect(page.headers['content-security-policy']).toContain("script-src 'self'");
});

it('the board refuses what a job is in no state for, and a request without a body it needs', async () => {
  const headers = basic(test.config.OPS_PASSWORD);
  const [queue] = test.rt.producer.queues;
  const job = await queue?.add('job', {});
  await queue?.pause();
  const put = (path: string) =>
    test.app.inject({ method: 'PUT', url: `/ops/queues/api/queues/${queue?.name}/${path}`, headers });
  expect((await put(`${job?.id}/promote`)).json()).toMatchObject({ status: 409, code: 'queue_refused' });
  expect((await put('clean/completed')).statusCode).toBe(200);
  expect((await put(`clean/${job?.id}`)).json()).toMatchObject({ status: 404, code: 'not_found' });
  // Whichever is first leaves nothing that is paused: the board tells the other, or BullMQ does, as their steps meet.
  const both = await Promise.all([put('obliterate'), put('obliterate')]);
  const [done, refused] = both.map(({ statusCode }) => statusCode).toSorted((a, b) => a - b);
  expect(done).toBe(200);
  expect([400, 409]).toContain(refused);
});

it('the board says what was wrong with a request', async () => {
  const headers = { ...basic(test.config.OPS_PASSWORD), 'content-type': 'application/json' };
  const url = '/ops/queues/api/queues/sentiment/pause';
  const answer = await test.app.inject({ method: 'PUT', url, headers, payload: '{' });
  expect(answer.statusCode).toBe(400);
  expect(answer.json()).toMatchObject({ code: 'invalid_json' });
});
