import { expect, it } from 'vitest';
import { fullJitterMs, parseRetryAfterMs, sleep } from './timing.ts';

it('reads Retry-After as seconds and as a date', () => {
  const now = Date.parse('2026-11-23T10:00:00Z');
  expect(parseRetryAfterMs('7', now)).toBe(7000);
  expect(parseRetryAfterMs('Mon, 23 Nov 2026 10:00:30 GMT', now)).toBe(30_000);
  expect(parseRetryAfterMs('Mon, 23 Nov 2026 09:00:00 GMT', now)).toBe(0);
  expect(parseRetryAfterMs('soon', now)).toBeUndefined();
  expect(parseRetryAfterMs(null, now)).toBeUndefined();
});

it('spreads waits over the whole capped range', () => {
  const waits = Array.from({ length: 500 }, () => fullJitterMs(20, 10, 1000));
  expect(Math.max(...waits)).toBeLessThanOrEqual(1000);
  expect(Math.min(...waits)).toBeLessThan(200);
  expect(Math.max(...waits)).toBeGreaterThan(800);
});

it('stops sleeping when told', async () => {
  const abort = new AbortController();
  const slept = sleep(60_000, abort.signal);
  abort.abort(new Error('up'));
  await expect(slept).rejects.toThrow('up');
  await expect(sleep(1, abort.signal)).rejects.toThrow('up');
});
