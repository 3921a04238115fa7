import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TestApp } from '#test/harness.ts';
import { openTestApp } from '#test/harness.ts';

const ORIGIN = 'https://crm.example';
const HOLD_MS = 60;

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp({ MAX_EVENT_LOOP_DELAY_MS: '20', ALLOWED_ORIGINS: ORIGIN });
});
afterAll(() => test.close());

/** Keeps the event loop so busy, until it is told to stop, that each turn of it is late. */
function holdTheLoop(): () => void {
  let isOver = false;
  const hold = (): void => {
    const until = performance.now() + HOLD_MS;
    while (performance.now() < until);
    if (!isOver) setImmediate(hold);
  };
  hold();
  return () => (isOver = true);
}

const ask = (url: string, headers = {}) => test.app.inject({ url, headers: { origin: ORIGIN, ...headers } });
const asOps = () => ({
  authorization: `Basic ${Buffer.from(`ops:${test.config.OPS_PASSWORD}`).toString('base64')}`,
});

it('sheds load with 503 while the loop is late, and answers again when it is not', async () => {
  const release = holdTheLoop();
  try {
    await expect.poll(async () => (await ask('/api/auth/me')).statusCode, { interval: 200 }).toBe(503);
    const shed = await ask('/api/auth/me');
    expect(shed.json()).toMatchObject({ status: 503, code: 'overloaded', instance: '/api/auth/me' });
    expect(shed.headers).toMatchObject({
      'content-type': 'application/problem+json',
      'retry-after': '2',
      'access-control-allow-origin': ORIGIN,
      'x-request-id': expect.any(String),
    });
    // A balancer stops sending; nobody restarts the process; whoever watches it still sees it.
    expect((await ask('/api/health/ready')).statusCode).toBe(503);
    expect((await ask('/api/health/live')).statusCode).toBe(200);
    const metrics = await ask('/metrics', asOps());
    expect(metrics.statusCode).toBe(200);
    expect(metrics.body).toMatch(/wh_http_shed_total\{[^}]*reason="eventLoopDelay"[^}]*\} [1-9]/);
  } finally {
    release();
  }
  await expect.poll(async () => (await ask('/api/auth/me')).statusCode, { interval: 200 }).toBe(401);
});
