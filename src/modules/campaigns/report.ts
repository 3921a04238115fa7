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

/** What a channel may, and did of late. */
export interface Pace {
  meanDelayMs: number;
  perHour: number | null;
  perDay: number | null;
  /** Messages in the last ten minutes. */
  recent: number;
}

/**
 * Seconds until all that is left may have been sent: by the delays and the caps of the channel, whichever is slower; a channel without any
 * goes on as it did of late.
 * @returns null where nothing says
 */
export function etaSeconds({ status, counters }: Pick<CampaignRow, 'status' | 'counters'>, pace: Pace): number | null {
  const left = (counters['pending'] ?? 0) + (counters['claimed'] ?? 0) + (counters['dispatching'] ?? 0);
  if (left === 0) return 0;
  if (status !== 'running' && status !== 'paused') return null;
  const perItem = Math.max(
    pace.meanDelayMs / 1000,
    pace.perHour === null ? 0 : 3600 / pace.perHour,
    pace.perDay === null ? 0 : 86_400 / pace.perDay,
  );
  if (perItem > 0) return Math.round(left * perItem);
  return pace.recent === 0 ? null : Math.round((left * 600) / pace.recent);
}
