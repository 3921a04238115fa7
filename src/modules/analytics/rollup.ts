import type { Pool } from 'pg';
import type { Logger } from 'pino';
import { analytics } from '#queues/analytics.ts';
import { inTransaction } from '#src/db/transaction.query.ts';
import { factHorizon } from '#src/modules/analytics/partitions.ts';
import {
  countHours,
  dropDays,
  findAllDays,
  findDays,
  lockState,
  noteFailure,
  noteRollup,
  putBack,
  seeWorkspace,
  sumDays,
  takeMarks,
  type Mark,
} from '#src/modules/analytics/rollup.query.ts';
import { SOURCES } from '#src/modules/analytics/sources/index.ts';

const HOUR_MS = 3_600_000;
/** Hours that one transaction counts at most; fewer after a failure, which may have been one of time. */
const MAX_HOURS = 24;
/** Days that one statement sums at most. */
const MAX_DAYS = 31;
/** Between two rollups of one workspace; what is new meanwhile is counted at once. */
const PAUSE_MS = 2000;

export interface RollupResources {
  /** As `wh_app`: it sees the workspace it counts for. */
  pool: Pool;
  keepMonths: number;
  log: Logger;
}

/** The hours of marks, newest first, and what is too much for one transaction. */
function spread(marks: readonly Mark[], horizon: Date, max: number): { hours: Date[]; left: Mark[] } {
  const hours = new Set<number>();
  const left: Mark[] = [];
  for (const mark of marks) {
    const first = Math.max(mark.hour.getTime(), horizon.getTime());
    let end = mark.hour.getTime() + mark.hours * HOUR_MS;
    while (end > first && hours.size < max) hours.add((end -= HOUR_MS));
    if (end > first) left.push({ hour: new Date(first), hours: (end - first) / HOUR_MS, markedAt: mark.markedAt });
  }
  return { hours: [...hours].map((at) => new Date(at)), left };
}

/**
 * Counts a workspace's marked hours, and the days they lie in, anew from the facts. In one transaction: killed anywhere, the marks are
 * there again. Any number may run at once or twice.
 * @returns whether marks were left for another call
 */
export function rollUp({ pool, keepMonths }: RollupResources, workspaceId: string): Promise<boolean> {
  return inTransaction(pool, async (tx) => {
    await seeWorkspace(tx, workspaceId);
    const state = await lockState(tx, workspaceId);
    const max = Math.max(1, MAX_HOURS >> (2 * Math.min(state?.failures ?? 0, 3)));
    const marks = await takeMarks(tx, workspaceId, max);
    // Marks of a workspace that is gone go with it.
    if (!state) return marks.length >= max;
    const horizon = factHorizon(keepMonths, new Date());
    const { hours, left } = spread(marks, horizon, max);
    if (left.length > 0) await putBack(tx, workspaceId, left);
    const { keptZone, timeZone } = state;
    for (const source of SOURCES) if (hours.length > 0) await countHours(tx, workspaceId, source, hours);
    const isOtherZone = keptZone !== timeZone;
    if (isOtherZone) await dropDays(tx, workspaceId);
    const days = isOtherZone ? await findAllDays(tx, workspaceId, timeZone) : await findDays(tx, hours, timeZone);
    for (let at = 0; at < days.length; at += MAX_DAYS) {
      const some = { days: days.slice(at, at + MAX_DAYS), timeZone, horizon };
      for (const source of SOURCES) await sumDays(tx, workspaceId, source, some);
    }
    await noteRollup(tx, workspaceId, timeZone, PAUSE_MS);
    return left.length > 0 || marks.length >= max;
  });
}

/** Counts until nothing is marked. What fails is noted with the workspace, which then waits alone: no other is held up by it. */
export async function rollUpAll(resources: RollupResources, workspaceId: string): Promise<void> {
  const { pool, log } = resources;
  try {
    while (await rollUp(resources, workspaceId));
  } catch (error) {
    const failures = await inTransaction(pool, async (tx) => {
      await seeWorkspace(tx, workspaceId);
      return noteFailure(tx, workspaceId, analytics.retry);
    });
    log.error({ err: error, workspaceId, failures }, 'The figures of a workspace could not be counted');
  }
}
