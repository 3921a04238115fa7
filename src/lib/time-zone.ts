/** Short names (`IST`, `CST`) stand for one zone here and for another in Postgres; some long ones are not in its list. */
const NAME = /^(UTC|(?!SystemV\/|US\/Pacific-New$)[a-z]+(\/[a-z0-9_+-]+)+)$/i;

/** Whether a name is one of the IANA database by which this process and Postgres go by the same clocks. */
export function isTimeZone(name: string): boolean {
  if (!NAME.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

const OFFSET = /GMT([+-])(\d{2}):(\d{2})/;

/** How far a zone's clocks are ahead of UTC at a moment, in milliseconds. */
function offsetAt(epochMs: number, timeZone: string): number {
  const parts = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' }).formatToParts(epochMs);
  const name = parts.find(({ type }) => type === 'timeZoneName')?.value ?? '';
  const [, sign, hours, minutes] = OFFSET.exec(name) ?? [];
  if (sign === undefined) return 0;
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
}

/**
 * The moment a text in ISO 8601 names. With `Z` or an offset that is all there is to it; without, it is what the clocks of a zone show: the
 * first time where they show it twice, and as if they had not been put forward where they never show it.
 * @param timeZone a name of the IANA database
 */
export function momentIn(text: string, timeZone: string): Date {
  if (/(Z|[+-]\d\d:?\d\d)$/.test(text)) return new Date(text);
  const asUtc = Date.parse(`${text}Z`);
  // A day is longer than any offset: the clocks before and after a change near by.
  const [before, after] = [-86_400_000, 86_400_000].map((away) => asUtc - offsetAt(asUtc + away, timeZone));
  if (before === undefined || after === undefined) return new Date(asUtc);
  const isShown = (moment: number): boolean => moment + offsetAt(moment, timeZone) === asUtc;
  return new Date(!isShown(before) && isShown(after) ? after : before);
}

/** What a zone's clocks show at a moment, to the second: `2026-12-01T09:00:00`. The inverse of `momentIn`. */
export function wallTimeIn(moment: Date, timeZone: string): string {
  return new Date(moment.getTime() + offsetAt(moment.getTime(), timeZone)).toISOString().slice(0, 19);
}
