// oxlint-disable-next-line import/default -- CommonJS, whose names Node does not find; the linter reads the module it has for bundlers
import rrule from 'rrule';
import { momentIn, wallTimeIn } from '#src/lib/time-zone.ts';

const { RRule } = rrule;

/** A rule that finds no turn in so long has none. 29 February can be eight years away. */
const HORIZON_MS = 10 * 366 * 86_400_000;
const HOURLY_HORIZON_MS = 400 * 86_400_000;
/** The calendar repeats after 400 years, weekdays too: so far ahead, not much is left of the years that the library walks through. */
const CYCLES_MS = 19 * 146_097 * 86_400_000;
/** No change of clocks is longer: Samoa once left out a day. */
const NEAR_MS = 25 * 3_600_000;

const DAY_NAMES = ['SU', 'MO', 'TU', 'WE', 'TH', 'FR', 'SA'];
const WEEKDAY = '(?:MO|TU|WE|TH|FR|SA|SU)';
const listOf = (lowest: number, highest: number, isSigned: boolean) => (text: string) =>
  text.split(',').every((one) => {
    if (!(isSigned ? /^[+-]?\d{1,4}$/ : /^\d{1,4}$/).test(one)) return false;
    const value = Math.abs(Number(one));
    return value >= lowest && value <= highest;
  });
const matches = (pattern: string) => (text: string) => new RegExp(`^${pattern}$`).test(text);

const isUntil = (text: string): boolean => {
  const [, year, month, day, hours = '23', minutes = '59', seconds = '59'] =
    /^([12]\d{3})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)Z?)?$/.exec(text) ?? [];
  const iso = `${year}-${month}-${day}T${hours}:${minutes}:${seconds}`;
  const at = new Date(`${iso}Z`);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(iso);
};

/** The parts of a rule (RFC 5545, section 3.3.10) that are understood. BYSECOND and a second BYMINUTE would fire more often than hourly. */
const PARTS: Record<string, (value: string) => boolean> = {
  FREQ: matches('(?:HOURLY|DAILY|WEEKLY|MONTHLY|YEARLY)'),
  INTERVAL: listOf(1, 1000, false),
  COUNT: listOf(1, 1000, false),
  UNTIL: isUntil,
  WKST: matches(WEEKDAY),
  BYDAY: matches(`(?:[+-]?(?:[1-9]|[1-4]\\d|5[0-3]))?${WEEKDAY}(?:,(?:[+-]?(?:[1-9]|[1-4]\\d|5[0-3]))?${WEEKDAY})*`),
  BYMONTHDAY: listOf(1, 31, true),
  BYYEARDAY: listOf(1, 366, true),
  BYWEEKNO: listOf(1, 53, true),
  BYMONTH: listOf(1, 12, false),
  BYHOUR: listOf(0, 23, false),
  BYMINUTE: matches('[0-5]?\\d'),
  BYSETPOS: listOf(1, 366, true),
};

/** What RFC 5545 forbids to stand together, by frequency; and BYHOUR in an hourly rule, whose hours may never come round to it. */
const NOT_IN: Record<string, readonly string[]> = {
  HOURLY: ['BYHOUR', 'BYMINUTE', 'BYWEEKNO', 'BYYEARDAY', 'BYSETPOS'],
  DAILY: ['BYYEARDAY', 'BYWEEKNO'],
  WEEKLY: ['BYMONTHDAY', 'BYYEARDAY', 'BYWEEKNO'],
  MONTHLY: ['BYYEARDAY', 'BYWEEKNO'],
  YEARLY: [],
};

/**
 * What is wrong with the text of a rule, or undefined. Whether it ever fires only its start can tell (`nextTurn`).
 * @param text such as `FREQ=WEEKLY;BYDAY=MO,TH`
 */
export function ruleProblem(text: string): string | undefined {
  const parts = text.split(';').map((part) => part.split('='));
  const names = parts.map(([name = '']) => name);
  for (const [name = '', value, ...more] of parts) {
    const isGood = Object.hasOwn(PARTS, name) && value !== undefined && more.length === 0 && PARTS[name]?.(value);
    if (!isGood) return `has ${name.slice(0, 20) || 'a part'} as nobody can follow it here`;
  }
  if (new Set(names).size < names.length) return 'says something twice';
  const { FREQ = '', BYDAY = '' } = Object.fromEntries(parts);
  if (FREQ === '') return 'must say FREQ';
  if (names.includes('COUNT') && names.includes('UNTIL')) return 'must not have both COUNT and UNTIL';
  const misplaced = NOT_IN[FREQ]?.find((name) => names.includes(name));
  if (misplaced) return `must not have ${misplaced} with FREQ=${FREQ}`;
  const hasOrdinal = /\d/.test(BYDAY);
  if (hasOrdinal && (!['MONTHLY', 'YEARLY'].includes(FREQ) || names.includes('BYWEEKNO')))
    return 'must not number the days of BYDAY here';
  const others = names.filter((name) => name.startsWith('BY') && name !== 'BYSETPOS');
  if (names.includes('BYSETPOS') && others.length === 0) return 'must not have BYSETPOS alone';
  return undefined;
}

/** A recurring task, as its rule is followed. Times of the wall have no zone: `2026-12-01T09:00:00`. */
export interface Series {
  rule: string;
  /** Of the first turn. */
  startsAt: string;
  /** By the rule; the turn itself may have been put off. */
  turnAt: string;
  timeZone: string;
}

const asIfUtc = (wallTime: string): Date => new Date(`${wallTime.slice(0, 19)}Z`);

/** The end a rule sets, on the wall. A day without a time is meant to its end; with `Z` it is a moment. */
function untilOf(rule: string, timeZone: string): Date | undefined {
  const [, day, time, zone] = /UNTIL=(\d{8})(?:T(\d{6}))?(Z?)/.exec(rule) ?? [];
  if (day === undefined) return undefined;
  const iso = `${day.replace(/(....)(..)(..)/, '$1-$2-$3')}T${(time ?? '235959').replace(/(..)(..)(..)/, '$1:$2:$3')}`;
  return asIfUtc(zone === 'Z' ? wallTimeIn(new Date(`${iso}Z`), timeZone) : iso);
}

/** Whether a date is of the days that an hourly or daily rule has. */
function dayFilter(parts: Map<string, string>): (date: Date) => boolean {
  const [days, months, monthDays] = ['BYDAY', 'BYMONTH', 'BYMONTHDAY'].map((name) => parts.get(name)?.split(','));
  return (date) => {
    const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
    const fromEnd = day - new Date(Date.UTC(year, month + 1, 0)).getUTCDate() - 1;
    return (
      (days?.includes(DAY_NAMES[date.getUTCDay()] ?? '') ?? true) &&
      (months?.some((one) => Number(one) === month + 1) ?? true) &&
      (monthDays?.some((one) => [day, fromEnd].includes(Number(one))) ?? true)
    );
  };
}

const ahead = (date: Date): Date => new Date(date.getTime() + CYCLES_MS);

/**
 * Walks through the turns of a rule, on the wall, in order, until `visit` says that it has seen enough. The library looks at its end only when
 * a date fits, and goes on to the year 9999 where none does. So rules that step by hours or days hand every step to us, and the others
 * are followed at the end of its time.
 */
function walk(rule: string, from: Date, until: Date, visit: (date: Date) => boolean): void {
  const parts = new Map(
    rule.split(';').map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]),
  );
  const count = Number(parts.get('COUNT') ?? Infinity);
  const isOurs = keepsStep(rule);
  const fits = isOurs ? dayFilter(parts) : () => true;
  const taken = new Set(['COUNT', 'UNTIL', ...(isOurs ? ['BYDAY', 'BYMONTH', 'BYMONTHDAY'] : [])]);
  const text = [...parts].flatMap(([name, value]) => (taken.has(name) ? [] : [`${name}=${value}`])).join(';');
  let seen = 0;
  new RRule({ ...RRule.parseString(text), dtstart: ahead(from), until: ahead(until) }).all((there) => {
    const date = new Date(there.getTime() - CYCLES_MS);
    if (!fits(date)) return true;
    seen += 1;
    return seen <= count && visit(date) && seen < count;
  });
}

/** Every turn of an hourly or daily rule keeps step with the first. */
const keepsStep = (rule: string): boolean => /FREQ=(HOURLY|DAILY)/.test(rule);

/**
 * The first turn behind `turnAt` that is also after a moment; turns nobody got to before are left out. The rule is followed on the wall of
 * the zone, so that nine o'clock stays nine o'clock: a time that clocks leave out is what it would have been before they were put forward,
 * and one that they show twice is the first (RFC 5545, section 3.3.10). The zone is kept away from the library, which reads dates as if UTC
 * were the wall and would otherwise take this machine's zone for it.
 * @returns null when there is none within ten years, of an hourly rule within 400 days
 */
export function nextTurn(
  { rule, startsAt, turnAt, timeZone }: Series,
  after: Date,
): { turnAt: string; dueAt: Date } | null {
  const last = asIfUtc(turnAt);
  const near = asIfUtc(wallTimeIn(after, timeZone)).getTime() - NEAR_MS;
  const horizonMs = rule.includes('FREQ=HOURLY') ? HOURLY_HORIZON_MS : HORIZON_MS;
  const horizon = new Date(Math.max(last.getTime(), near) + horizonMs);
  const end = untilOf(rule, timeZone);
  // A COUNT is counted from the first turn.
  const from = keepsStep(rule) && !rule.includes('COUNT=') ? last : asIfUtc(startsAt);
  let found: { turnAt: string; dueAt: Date } | null = null;
  walk(rule, from, end && end < horizon ? end : horizon, (date) => {
    if (date <= last || date.getTime() < near) return true;
    const wallTime = date.toISOString().slice(0, 19);
    const dueAt = momentIn(wallTime, timeZone);
    if (dueAt > after) found = { turnAt: wallTime, dueAt };
    return found === null;
  });
  return found;
}
