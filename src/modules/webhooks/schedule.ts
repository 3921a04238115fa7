const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** The waits before each try, from the Standard Webhooks specification 1.0: ten tries in about 76 hours. */
export const SCHEDULE_MS: readonly number[] = [
  0,
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
];
/** So that what failed together does not come back together. */
const JITTER = 0.2;

/**
 * How long to wait after a try that failed.
 * @param tries how many there were, this one too
 * @param retryAfterMs what the receiver asked for; it is given no less than the plan has, and no more than twice that
 * @param random from 0 to 1
 * @returns milliseconds, or null when there is no further try
 */
export function nextDelayMs(tries: number, retryAfterMs: number | null, random = Math.random()): number | null {
  const baseMs = SCHEDULE_MS[tries];
  if (baseMs === undefined) return null;
  if (retryAfterMs !== null) return Math.round(Math.min(2 * baseMs, Math.max(baseMs, retryAfterMs)));
  return Math.round(baseMs * (1 + JITTER * (2 * random - 1)));
}

/** Milliseconds a `Retry-After` asks for: seconds or a date (RFC 9110, section 10.2.3); null for anything else. */
export function retryAfterMs(header: string | string[] | undefined, now = Date.now()): number | null {
  const text = (Array.isArray(header) ? header[0] : header)?.trim();
  if (text === undefined || text === '') return null;
  if (/^\d{1,9}$/.test(text)) return Number(text) * SECOND_MS;
  const at = /^[A-Z][a-z]{2}, /.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}
