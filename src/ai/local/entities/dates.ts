import { addDays, clockAt, type Day, isoDay, isoTime } from '#src/ai/local/entities/calendar.ts';
import { type DayFound, daysIn } from '#src/ai/local/entities/days.ts';
import type { FoundEntity, Reading } from '#src/ai/local/entities/found.ts';

/** When and where a text is read: "amanhã" is told from it. */
export interface Clock {
  now: Date;
  /** An IANA name: `America/Sao_Paulo`. */
  timeZone: string;
}

interface TimeFound {
  start: number;
  end: number;
  hour: number;
  minute: number;
  /** Only beside a day: "15h" alone may be a duration. */
  needsDay: boolean;
}

const PART = String.raw`(?:\s?(?<part>da manha|de la manana|da madrugada|da tarde|de la tarde|da noite|de la noche|am|a\.m\.|pm|p\.m\.)(?![\p{L}\p{N}]))`;
const TIME = new RegExp(
  String.raw`(?<![\p{L}\p{N}:.,/R$-])(?<lead>(?:(?:ate |depois d|antes d|a partir d|por volta d)?as|ate|at|pelas|la pelas|a las|das|until|by)\s)?(?:(?<hour>\d{1,2})(?:(?:[:h]|\shs?\s)(?<minute>\d{2})(?:\s?(?:h|hs|hrs|min))?|\s?(?<unit>h|hs|hrs|horas?|hours?))?${PART}?(?![\p{L}\p{N}%]|[.,:/-]\d)|(?<noon>meio[ -]dia(?: e meia)?|noon|mediodia)|(?<midnight>meia[ -]noite|midnight|medianoche))`,
  'gu',
);
const DAYTIME =
  /^\s(?:(?:de|pela|da|a|bem)\s(?:manha|tarde|noite|madrugada|cedo)|cedo|in the (?:morning|afternoon|evening)|morning|afternoon|evening|night|por la (?:manana|tarde|noche))(?![\p{L}\p{N}])/u;
const JOINS =
  /^\s{0,2}(?:,\s)?(?:(?:as|a|at|de|do|da|no|na|on|el|pelas|por volta das|la pelas|ate as|depois das|antes das)\s)?$/u;
const READ_AHEAD = 24;

function hourOf(hour: number, part: string | undefined): number {
  if (!part) return hour;
  if (/tarde|pm|p\.m|noite|noche/u.test(part)) return hour < 12 ? hour + 12 : hour;
  return hour === 12 ? 0 : hour;
}

function timesIn(flat: string): TimeFound[] {
  return [...flat.matchAll(TIME)].flatMap((match) => {
    const { lead, minute, unit, part, noon, midnight } = match.groups ?? {};
    const end = match.index + match[0].length;
    // The words "até", "por volta das" are about the time, not part of it, but for "às".
    const kept = lead && !/^(?:as|at|a las)\s$/u.test(lead) ? lead.length : 0;
    const start = match.index + kept;
    if (noon) return [{ start, end, hour: 12, minute: noon.endsWith('meia') ? 30 : 0, needsDay: false }];
    if (midnight) return [{ start, end, hour: 0, minute: 0, needsDay: false }];
    const hour = hourOf(Number(match.groups?.['hour']), part);
    const minutes = Number(minute ?? 0);
    if (hour > 23 || minutes > 59 || !(lead || minute || unit || part)) return [];
    const isTold = minute !== undefined || part !== undefined || (lead !== undefined && !/^ate\s$/u.test(lead));
    if (lead && !minute && !unit && !part && !/as\s$|at\s$|las\s$/u.test(lead)) return [];
    return [{ start, end, hour, minute: minutes, needsDay: !isTold }];
  });
}

/** Of days that overlap the longest stays. */
function withoutOverlaps(days: DayFound[]): DayFound[] {
  const kept: DayFound[] = [];
  let reached = 0;
  for (const day of days.toSorted((a, b) => a.start - b.start || b.end - a.end)) {
    const last = kept.at(-1);
    if (last && day.start < reached) {
      if (day.end - day.start > last.end - last.start) kept[kept.length - 1] = day;
      else continue;
    } else kept.push(day);
    reached = Math.max(reached, day.end);
  }
  return kept;
}

const afterNow = (today: Day, clock: Clock, time: TimeFound): Day => {
  const { hour, minute } = clockAt(clock.now, clock.timeZone);
  return time.hour * 60 + time.minute < hour * 60 + minute ? addDays(today, 1) : today;
};

/** A day with the part of the day behind it, which only widens it: "segunda de manhã". */
function widened(day: DayFound, flat: string): number {
  return day.end + (DAYTIME.exec(flat.slice(day.end, day.end + READ_AHEAD))?.[0].length ?? 0);
}

function momentOf(day: DayFound, clock: Clock): string {
  if (day.minutesFromNow === undefined) return isoDay(day.day);
  const then = clockAt(new Date(clock.now.getTime() + day.minutesFromNow * 60_000), clock.timeZone);
  return isoTime(then, then.hour, then.minute, clock.timeZone);
}

/**
 * Days and times a text names, as ISO 8601: a day alone `2026-03-12`, with a time `2026-03-12T15:00:00-03:00`. What has passed is taken for
 * the next one: "dia 10" on the 11th is next month's, "às 9h" at ten is tomorrow's. Linear in the text.
 * @throws RangeError where there is no such time zone
 */
export function datesIn({ flat }: Reading, clock: Clock): FoundEntity[] {
  const { year, month, day: date } = clockAt(clock.now, clock.timeZone);
  const today = { year, month, day: date };
  const days = withoutOverlaps(daysIn(flat, today)).map((day) => ({ ...day, wide: widened(day, flat) }));
  const times = timesIn(flat);
  const taken = new Set<TimeFound>();
  const found: FoundEntity[] = [];
  let next = 0;
  for (const [place, day] of days.entries()) {
    while ((times[next]?.end ?? Infinity) <= (days[place - 1]?.wide ?? 0)) next += 1;
    const near = times.slice(next, next + 4).filter((time) => !taken.has(time));
    const after = near.find(
      (time) =>
        time.start >= day.wide &&
        JOINS.test(flat.slice(day.wide, Math.min(time.start, day.wide + READ_AHEAD))) &&
        time.start - day.wide < READ_AHEAD,
    );
    const before = near.find(
      (time) =>
        time.end <= day.start && day.start - time.end < READ_AHEAD && JOINS.test(flat.slice(time.end, day.start)),
    );
    const time = day.minutesFromNow === undefined ? (after ?? before) : undefined;
    if (time) taken.add(time);
    for (const inside of near) if (inside.start < day.end && inside.end > day.start) taken.add(inside);
    while (times[next] && (times[next]?.end ?? 0) <= day.start) next += 1;
    found.push({
      start: Math.min(day.start, time?.start ?? day.start),
      end: Math.max(day.wide, time?.end ?? 0),
      normalized: time ? isoTime(day.day, time.hour, time.minute, clock.timeZone) : momentOf(day, clock),
      confidence: day.confidence,
    });
  }
  for (const time of times) {
    if (taken.has(time) || time.needsDay) continue;
    const normalized = isoTime(afterNow(today, clock, time), time.hour, time.minute, clock.timeZone);
    found.push({ start: time.start, end: time.end, normalized, confidence: 0.75 });
  }
  return found.toSorted((a, b) => a.start - b.start);
}
