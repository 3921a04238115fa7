import { describe, expect, it } from 'vitest';
import { wallTimeIn } from '#src/lib/time-zone.ts';
import { nextTurn, ruleProblem } from '#src/modules/tasks/recurrence.ts';
import { cpuMs } from '#test/cpu-ms.ts';

/** A generator of its own (mulberry32), so that a failure can be had again. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

const ZONES = ['America/Sao_Paulo', 'Europe/Lisbon', 'America/New_York'] as const;
const DAYS = ['SU', 'MO', 'TU', 'WE', 'TH', 'FR', 'SA'] as const;
const HOUR_MS = 3_600_000;
const QUARTER_MS = 900_000;

const formats = new Map(
  ZONES.map((timeZone) => [
    timeZone,
    new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' }),
  ]),
);
const walls = new Map<string, string>();
/** What the clocks show, asked of the formatter for people; each moment once. */
function wallOf(ms: number, zone: (typeof ZONES)[number]): string {
  const key = `${zone} ${ms}`;
  const wall = walls.get(key) ?? (formats.get(zone)?.format(ms) ?? '').replace(' ', 'T');
  walls.set(key, wall);
  return wall;
}
const utc = (wall: string) => Date.parse(`${wall}Z`);

interface Case {
  zone: (typeof ZONES)[number];
  freq: 'DAILY' | 'WEEKLY' | 'MONTHLY';
  interval: number;
  days: number[];
  start: string;
}

const monday = (ms: number) => ms - ((new Date(ms).getUTCDay() + 6) % 7) * 86_400_000;

/** Whether a day is one of a rule's, by the calendar alone. */
function isDay({ freq, interval, days, start }: Case, day: string): boolean {
  const [from, at] = [utc(`${start.slice(0, 10)}T00:00:00`), utc(`${day}T00:00:00`)];
  const away = (at - from) / 86_400_000;
  if (away < 0) return false;
  if (freq === 'DAILY') return away % interval === 0;
  if (freq === 'MONTHLY') {
    const months =
      (Number(day.slice(0, 4)) - Number(start.slice(0, 4))) * 12 + Number(day.slice(5, 7)) - Number(start.slice(5, 7));
    return months % interval === 0 && day.slice(8) === start.slice(8, 10);
  }
  const weeks = (monday(at) - monday(from)) / (7 * 86_400_000);
  return weeks % interval === 0 && days.includes(new Date(at).getUTCDay());
}

/**
 * The first quarter of an hour after a moment at which the clocks of the zone show the rule's time on one of its days: looked for by walking
 * through time and looking at the clock. Where they never show it that day, the time it would have been had they not been put forward.
 */
function byWalking(one: Case, afterMs: number): number {
  const time = one.start.slice(11);
  for (let ms = afterMs + QUARTER_MS; ; ms += QUARTER_MS) {
    if (ms > afterMs + 100 * 86_400_000) throw new Error(`Nothing found for ${JSON.stringify(one)}`);
    const wall = wallOf(ms, one.zone);
    const isFirst = wallOf(ms - HOUR_MS, one.zone) !== wall;
    if (wall.slice(11) === time && isFirst && isDay(one, wall.slice(0, 10))) return ms;
    // Clocks went forward over it in the last quarter: they show now what is an hour after what they would have.
    const before = utc(wallOf(ms - QUARTER_MS, one.zone));
    const leapMs = utc(wall) - before - QUARTER_MS;
    if (leapMs > 0) {
      for (let left = before + QUARTER_MS; left < utc(wall); left += QUARTER_MS) {
        const wish = new Date(left).toISOString();
        const at = ms + (left - before - QUARTER_MS);
        if (wish.slice(11, 19) === time && isDay(one, wish.slice(0, 10)) && at > afterMs) return at;
      }
    }
  }
}

/** The turns behind the first, on the wall; null where there is no further one. */
const turns = (rule: string, startsAt: string, timeZone: string, count: number) => {
  const found: string[] = [];
  let [turnAt, after] = [startsAt, new Date(Date.parse(`${startsAt}Z`) - 14 * HOUR_MS)];
  while (found.length < count) {
    const next = nextTurn({ rule, startsAt, turnAt, timeZone }, after);
    if (!next) return [...found, null];
    found.push(wallTimeIn(next.dueAt, timeZone));
    [turnAt, after] = [next.turnAt, next.dueAt];
  }
  return found;
};

describe('the next turn', () => {
  it.each(ZONES)('is where walking through the time of %s finds it, also where clocks change', (zone) => {
    const random = randomFrom(20_261_127);
    // Clocks of São Paulo were put forward at midnight up to 2018, those of the others still are.
    const changes: Record<(typeof ZONES)[number], string[]> = {
      'America/Sao_Paulo': ['2017-10-15', '2018-02-18', '2018-11-04', '2019-02-17'],
      'Europe/Lisbon': ['2025-03-30', '2025-10-26', '2026-03-29', '2026-10-25'],
      'America/New_York': ['2025-03-09', '2025-11-02', '2026-03-08', '2026-11-01'],
    };
    let shifted = 0;
    for (let at = 0; at < 240; at += 1) {
      const change = utc(`${changes[zone][random(4)] ?? ''}T00:00:00`);
      const freq = (['DAILY', 'WEEKLY', 'MONTHLY'] as const)[random(3)] ?? 'DAILY';
      const backDays = freq === 'MONTHLY' ? ([28, 30, 31, 59][random(4)] ?? 31) : random(9) + 1;
      // Hours where clocks change come often.
      const minutes = random(2) === 0 ? random(14) * 15 : random(96) * 15;
      const startWall = new Date(change - backDays * 86_400_000 + minutes * 60_000).toISOString().slice(0, 19);
      const days = [new Date(`${startWall}Z`).getUTCDay(), new Date(change).getUTCDay()];
      const one: Case = { zone, freq, interval: freq === 'MONTHLY' ? 1 : random(3) + 1, days, start: startWall };
      const byday = freq === 'WEEKLY' ? `;BYDAY=${[...new Set(days)].map((day) => DAYS[day]).join(',')}` : '';
      const rule = `FREQ=${freq};INTERVAL=${one.interval}${byday}`;
      expect(ruleProblem(rule)).toBeUndefined();
      let turnAt = startWall;
      let afterMs = utc(startWall) - 14 * HOUR_MS;
      for (afterMs = byWalking(one, afterMs); afterMs < change + 10 * 86_400_000;) {
        const next = nextTurn({ rule, startsAt: startWall, turnAt, timeZone: zone }, new Date(afterMs));
        const expected = byWalking(one, afterMs);
        const told = `${rule} from ${startWall} after ${new Date(afterMs).toISOString()}`;
        expect(`${told}: ${next?.dueAt.toISOString()}`).toBe(`${told}: ${new Date(expected).toISOString()}`);
        if ((expected - afterMs) % 86_400_000 !== 0) shifted += 1;
        turnAt = next?.turnAt ?? '';
        afterMs = expected;
      }
    }
    process.stdout.write(`Recurrence in ${zone}: ${shifted} turns across a change of clocks\n`);
    expect(shifted).toBeGreaterThan(50);
  });

  it('follows rules of months, years and sets, and ends with COUNT and UNTIL', () => {
    const zone = 'America/New_York';
    expect(turns('FREQ=MONTHLY;BYDAY=-1FR', '2026-01-30T17:00:00', zone, 3)).toEqual([
      '2026-02-27T17:00:00',
      '2026-03-27T17:00:00',
      '2026-04-24T17:00:00',
    ]);
    expect(turns('FREQ=MONTHLY', '2026-01-31T09:00:00', zone, 2)).toEqual([
      '2026-03-31T09:00:00',
      '2026-05-31T09:00:00',
    ]);
    expect(turns('FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29', '2096-02-29T09:00:00', zone, 1)).toEqual([
      '2104-02-29T09:00:00',
    ]);
    expect(turns('FREQ=DAILY;COUNT=3', '2026-03-07T09:00:00', zone, 5)).toEqual([
      '2026-03-08T09:00:00',
      '2026-03-09T09:00:00',
      null,
    ]);
    // The day of UNTIL counts to its end; with Z it is a moment.
    expect(turns('FREQ=DAILY;UNTIL=20260309', '2026-03-07T22:00:00', zone, 5)).toHaveLength(3);
    expect(turns('FREQ=DAILY;UNTIL=20260309T020000Z', '2026-03-07T22:00:00', zone, 5)).toEqual([
      '2026-03-08T22:00:00',
      null,
    ]);
    expect(turns('FREQ=DAILY;UNTIL=20260309T015959Z', '2026-03-07T22:00:00', zone, 5)).toEqual([null]);
    expect(turns('FREQ=DAILY;BYHOUR=9,15', '2026-03-07T09:00:00', zone, 2)).toEqual([
      '2026-03-07T15:00:00',
      '2026-03-08T09:00:00',
    ]);
    // An hour that is left out is no turn of its own.
    expect(turns('FREQ=HOURLY', '2026-03-08T00:00:00', zone, 3)).toEqual([
      '2026-03-08T01:00:00',
      '2026-03-08T03:00:00',
      '2026-03-08T04:00:00',
    ]);
  });

  it('leaves out what nobody got to, and keeps step', () => {
    const series = { rule: 'FREQ=DAILY;INTERVAL=3', startsAt: '2026-01-01T09:00:00', turnAt: '2026-01-04T09:00:00' };
    const next = nextTurn({ ...series, timeZone: 'Europe/Lisbon' }, new Date('2026-01-11T10:00:00Z'));
    expect(next?.turnAt).toBe('2026-01-13T09:00:00');
  });

  it.each([
    'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30',
    'FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30',
    'FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=31',
    'FREQ=HOURLY;INTERVAL=1000;BYMONTH=4;BYMONTHDAY=31',
    'FREQ=DAILY;INTERVAL=7;BYDAY=TU',
    'FREQ=HOURLY;INTERVAL=168;BYDAY=TU',
    'FREQ=WEEKLY;BYDAY=MO;BYSETPOS=366',
    'FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30',
    'FREQ=DAILY;COUNT=1',
    'FREQ=YEARLY;INTERVAL=1000',
    'FREQ=WEEKLY;UNTIL=20200101',
  ])('finds that %s never comes, in no time', (rule) => {
    expect(ruleProblem(rule)).toBeUndefined();
    const start = '2026-01-31T09:00:00';
    const spent = cpuMs(() =>
      expect(
        nextTurn({ rule, startsAt: start, turnAt: start, timeZone: 'Europe/Lisbon' }, new Date('2026-02-01T00:00:00Z')),
      ).toBeNull(),
    );
    expect(spent).toBeLessThan(1000);
  });
});

it.each([
  'FREQ=SECONDLY',
  'FREQ=MINUTELY;INTERVAL=60',
  'FREQ=DAILY;BYSECOND=0,30',
  'FREQ=DAILY;BYMINUTE=0,30',
  'FREQ=HOURLY;INTERVAL=24;BYHOUR=5',
  'FREQ=DAILY;INTERVAL=0',
  'FREQ=DAILY;INTERVAL=-1',
  'FREQ=DAILY;COUNT=5;UNTIL=20270101',
  'FREQ=DAILY;UNTIL=20270230',
  'FREQ=DAILY;FREQ=WEEKLY',
  'FREQ=WEEKLY;BYDAY=1MO',
  'FREQ=WEEKLY;BYDAY=XX',
  'FREQ=MONTHLY;BYSETPOS=1',
  'FREQ=MONTHLY;BYMONTHDAY=32',
  'INTERVAL=2',
  'RRULE:FREQ=DAILY',
  'FREQ=DAILY;',
  'FREQ=DAILY;BYEASTER=1',
  'FREQ=DAILY;__PROTO__=1',
  'FREQ=DAILY\nDTSTART=20200101',
])('refuses %s', (rule) => {
  expect(ruleProblem(rule)).toEqual(expect.any(String));
});
