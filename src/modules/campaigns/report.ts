import type { CampaignRow } from '#src/modules/campaigns/campaigns.query.ts';

/** The quantile of a two-sided 95 %. */
const Z = 1.959_964;

/** Wilson's score interval of a share (Wilson 1927), which stays sensible for few. @returns null for none of none */
export function wilson(hits: number, of: number): { rate: number; low: number; high: number } | null {
  if (of === 0) return null;
  const rate = hits / of;
  const middle = (rate + Z ** 2 / (2 * of)) / (1 + Z ** 2 / of);
  const half = (Z / (1 + Z ** 2 / of)) * Math.sqrt((rate * (1 - rate)) / of + Z ** 2 / (4 * of ** 2));
  return { rate, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

/** What a channel may, and did of late; times in seconds. */
export interface Pace {
  meanDelayMs: number;
  perHour: number | null;
  /** With what a number that is new to sending may. */
  perDay: number | null;
  sentToday: number;
  /** Until its windows are open, how long they are today from now on, and on a day as others. */
  opensIn: number;
  openToday: number;
  openPerDay: number;
  /** Until its local midnight. */
  restOfDay: number;
  /** Campaigns that take turns on it. */
  campaigns: number;
  /** Messages of late, and in how long a time. */
  recent: number;
  recentSeconds: number;
}

/**
 * Seconds until all that is left may have been sent: by the delays, caps and windows of the channel, of which campaigns that run beside have
 * their share; a channel without any goes on as it did of late.
 * @returns null where nothing says
 */
export function etaSeconds({ status, counters }: Pick<CampaignRow, 'status' | 'counters'>, pace: Pace): number | null {
  const left = (counters['pending'] ?? 0) + (counters['claimed'] ?? 0) + (counters['dispatching'] ?? 0);
  if (left === 0) return 0;
  if (status !== 'running' && status !== 'paused') return null;
  const share = Math.max(1, pace.campaigns);
  const gap = Math.max(pace.meanDelayMs / 1000, pace.perHour === null ? 0 : 3600 / pace.perHour) * share;
  const perDay = pace.perDay === null ? Infinity : pace.perDay / share;
  if (gap === 0 && perDay === Infinity)
    return pace.recent === 0 ? null : Math.round((left * share * pace.recentSeconds) / pace.recent);
  const inTime = (seconds: number): number => (gap === 0 ? Infinity : seconds / gap);
  const today = Math.max(0, Math.min(perDay - pace.sentToday / share, inTime(pace.openToday)));
  if (left <= today) return Math.round(pace.opensIn + left * gap);
  const aDay = Math.min(perDay, inTime(pace.openPerDay));
  if (aDay === 0) return null;
  const days = Math.ceil((left - today) / aDay) - 1;
  return Math.round(pace.restOfDay + days * 86_400 + (left - today - days * aDay) * gap);
}
