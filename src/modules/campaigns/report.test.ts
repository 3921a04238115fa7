import { expect, it } from 'vitest';
import { etaSeconds, type Pace } from '#src/modules/campaigns/report.ts';

const HOUR = 3600;
/** At ten in the morning, of a channel that may send from eight to eight. */
const PACE: Pace = {
  meanDelayMs: 20_000,
  perHour: 60,
  perDay: 200,
  sentToday: 0,
  opensIn: 0,
  openToday: 10 * HOUR,
  openPerDay: 12 * HOUR,
  restOfDay: 14 * HOUR,
  campaigns: 1,
  recent: 0,
  recentSeconds: 0,
};
const FREE: Partial<Pace> = { meanDelayMs: 0, perHour: null, perDay: null };

it.each([
  ['nothing left', 0, {}, 0],
  ['nine, one a minute', 9, {}, 9 * 60],
  ['what the day still takes', 200, {}, 200 * 60],
  ['one more than the day takes', 201, {}, 14 * HOUR + 60],
  ['two days more', 600, {}, 14 * HOUR + 24 * HOUR + 200 * 60],
  ['after the day’s cap', 10, { sentToday: 200 }, 14 * HOUR + 600],
  ['before the windows open', 10, { opensIn: HOUR }, HOUR + 600],
  ['shared with another campaign', 9, { campaigns: 2 }, 2 * 9 * 60],
  ['never open', 9, { openToday: 0, openPerDay: 0 }, null],
  ['without limits, twenty a second for ten seconds', 2000, { ...FREE, recent: 200, recentSeconds: 10 }, 100],
  ['without limits, nothing sent yet', 2000, FREE, null],
  ['with a daily cap alone', 300, { ...FREE, perDay: 100, openToday: 24 * HOUR }, 14 * HOUR + 24 * HOUR],
] as const)('%s', (_, pending, pace, seconds) => {
  expect(etaSeconds({ status: 'running', counters: { pending } }, { ...PACE, ...pace })).toBe(seconds);
});
