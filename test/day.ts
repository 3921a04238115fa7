import { setTimeout as sleep } from 'node:timers/promises';
import { wallTimeIn } from '#src/lib/time-zone.ts';

/** Longer than a test takes to look at what it made. */
const NEEDED_MS = 120_000;
const DAY_MS = 86_400_000;

/** Milliseconds until the next midnight on the clocks of a zone, near enough on days when they are changed. */
export function leftOfDay(now: Date, timeZone: string): number {
  const midnight = wallTimeIn(now, timeZone).slice(0, 10);
  const sinceMs = Date.parse(`${wallTimeIn(now, timeZone)}Z`) - Date.parse(`${midnight}T00:00:00Z`);
  return DAY_MS - sinceMs;
}

/** Waits for the next day where the present one is about to end, so that what a test makes today is of today when it looks. */
export async function untilDayLasts(timeZone: string): Promise<void> {
  const leftMs = leftOfDay(new Date(), timeZone);
  if (leftMs < NEEDED_MS) await sleep(leftMs + 1000);
}
