import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextDelayMs, retryAfterMs, SCHEDULE_MS } from '#src/modules/webhooks/schedule.ts';

const HOUR_MS = 3_600_000;

/** The waits behind each try. */
const plan = (random: number) => {
  const waits: number[] = [];
  for (let tries = 1; ; tries += 1) {
    const wait = nextDelayMs(tries, null, random);
    if (wait === null) return waits;
    waits.push(wait);
  }
};

describe('the schedule', () => {
  it('has ten tries in about 76 hours, and then no more', () => {
    const seconds = plan(0.5).map((ms) => ms / 1000);
    expect(seconds).toEqual([5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
    const hours = [0, 0.5, 1].map((random) => plan(random).reduce((sum, ms) => sum + ms, 0) / HOUR_MS);
    expect(hours.map((sum) => Math.round(sum * 100) / 100)).toEqual([60.47, 75.58, 90.7]);
  });

  it('spreads each wait by a fifth, and heeds a receiver between the plan and twice the plan', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 1_000_000_000 }),
        (tries, random, asked) => {
          const base = SCHEDULE_MS[tries] ?? NaN;
          const plain = nextDelayMs(tries, null, random) ?? NaN;
          expect(plain).toBeGreaterThanOrEqual(Math.floor(base * 0.8));
          expect(plain).toBeLessThanOrEqual(Math.ceil(base * 1.2));
          expect(nextDelayMs(tries, asked, random)).toBe(Math.min(2 * base, Math.max(base, asked)));
        },
      ),
    );
  });
});

it('reads a Retry-After in both its forms', () => {
  const now = Date.UTC(2026, 10, 26, 12);
  expect(retryAfterMs('120', now)).toBe(120_000);
  expect(retryAfterMs('Thu, 26 Nov 2026 12:00:30 GMT', now)).toBe(30_000);
  expect(retryAfterMs('Thu, 26 Nov 2026 11:00:00 GMT', now)).toBe(0);
  for (const nonsense of [undefined, '', 'soon', '-5', '1.5', ['later']])
    expect(retryAfterMs(nonsense, now)).toBeNull();
});
