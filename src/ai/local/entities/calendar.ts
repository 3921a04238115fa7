/** A day in the Gregorian calendar, months from 1. */
export interface Day {
  year: number;
  month: number;
  day: number;
}

const DAY_MS = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known) return known;
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  formats.set(timeZone, format);
  return format;
}

/** What the clocks of a time zone show at a moment. @throws RangeError where there is no such time zone */
export function clockAt(moment: Date, timeZone: string): Day & { hour: number; minute: number } {
  const parts = new Map(
    formatOf(timeZone)
      .formatToParts(moment)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const part = (name: Intl.DateTimeFormatPartTypes) => parts.get(name) ?? 0;
  return { year: part('year'), month: part('month'), day: part('day'), hour: part('hour'), minute: part('minute') };
}

const utc = ({ year, month, day }: Day) => Date.UTC(year, month - 1, day);

function fromUtc(at: number): Day {
  const date = new Date(at);
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

export function addDays(day: Day, count: number): Day {
  return fromUtc(utc(day) + count * DAY_MS);
}

/** So many months on; the last of the month where it has no such day. */
export function addMonths({ year, month, day }: Day, count: number): Day {
  const first = fromUtc(Date.UTC(year, month - 1 + count, 1));
  const last = fromUtc(Date.UTC(first.year, first.month, 0)).day;
  return { ...first, day: Math.min(day, last) };
}

/** 0 is Sunday. */
export function weekdayOf(day: Day): number {
  return new Date(utc(day)).getUTCDay();
}

export function isBefore(a: Day, b: Day): boolean {
  return utc(a) < utc(b);
}

export function isDay({ year, month, day }: Day): boolean {
  const real = fromUtc(Date.UTC(year, month - 1, day));
  return real.year === year && real.month === month && real.day === day;
}

const two = (value: number) => String(value).padStart(2, '0');

export function isoDay({ year, month, day }: Day): string {
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`;
}

/** A day's time in a zone, ISO 8601 with the offset that holds there then; in the hour that a clock change leaves out, the offset before it. */
export function isoTime(day: Day, hour: number, minute: number, timeZone: string): string {
  const wall = Date.UTC(day.year, day.month - 1, day.day, hour, minute);
  const offsetAt = (at: number) => {
    const shown = clockAt(new Date(at), timeZone);
    return Date.UTC(shown.year, shown.month - 1, shown.day, shown.hour, shown.minute) - at;
  };
  const offset = offsetAt(wall - offsetAt(wall));
  const minutes = Math.abs(offset) / 60_000;
  const sign = offset < 0 ? '-' : '+';
  return `${isoDay(day)}T${two(hour)}:${two(minute)}:00${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
