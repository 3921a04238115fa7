import type { Pool } from 'pg';
import type { Logger } from 'pino';
import type { Metrics } from '#src/lib/metrics.ts';
import { changePartition, findMonths } from '#src/modules/analytics/partitions.query.ts';

/** Months that are made before they begin. */
const MONTHS_AHEAD = 3;
const DAY_MS = 86_400_000;

/** How long a table's months are kept: whole months, or days after a month's end (28 at least, see `partition_drop`). */
type Retention = { table: string } & ({ keepMonths: number } | { keepDays: number });

/** Every table that is parted by month, with how long its rows are kept. A table that is not there yet is passed over. */
export const retentions = (usageKeepMonths: number): Retention[] => [
  { table: 'outbox_event', keepDays: 30 },
  { table: 'webhook_delivery', keepDays: 30 },
  { table: 'ai_usage_log', keepMonths: usageKeepMonths },
  // Longer than any workspace may ask for; what each keeps is purged by itself (src/modules/messages/purge.query.ts).
  { table: 'message', keepMonths: 122 },
];

/** The first moment of the UTC month that is `offset` months from `now`'s. */
const monthAt = (now: Date, offset: number): Date =>
  new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1));
const textOf = (month: Date): string => month.toISOString().slice(0, 10);

/**
 * Since when all facts are kept: hours before are never counted again, since part of their facts may be gone. A month behind the oldest
 * partition, which goes by when a job was accepted, not by when its calls began.
 */
export const factHorizon = (keepMonths: number, now: Date): Date => monthAt(now, 1 - keepMonths);

function isOver(month: string, retention: Retention, now: Date): boolean {
  const end = monthAt(new Date(month), 1);
  if ('keepDays' in retention) return end.getTime() + retention.keepDays * DAY_MS <= now.getTime();
  return end <= monthAt(now, -retention.keepMonths);
}

export interface PartitionResources {
  /** As `wh_system`. */
  pool: Pool;
  keepMonths: number;
  log: Logger;
}

/**
 * Makes the months to come and drops those past their time; may be repeated or interrupted anywhere. One table's trouble holds up no other.
 * @throws the first failure, when all that could be done is done
 */
export async function tendPartitions({ pool, keepMonths, log }: PartitionResources, now: Date): Promise<void> {
  const list = retentions(keepMonths);
  const months = await findMonths(
    pool,
    list.map(({ table }) => table),
  );
  const failures: unknown[] = [];
  const change = async (what: 'partition_make' | 'partition_drop', table: string, month: string): Promise<void> => {
    try {
      if (await changePartition(pool, what, table, month)) log.info({ table, month, what }, 'Changed a partition');
    } catch (error) {
      failures.push(error);
      log.error({ err: error, table, month, what }, 'A partition could not be changed');
    }
  };
  for (const retention of list) {
    const { table } = retention;
    const there = months.get(table);
    if (!there) continue;
    const wanted = Array.from({ length: MONTHS_AHEAD + 1 }, (_, offset) => textOf(monthAt(now, offset)));
    for (const month of wanted) if (!there.includes(month)) await change('partition_make', table, month);
    for (const month of there) if (isOver(month, retention, now)) await change('partition_drop', table, month);
  }
  if (failures.length > 0) throw failures[0];
}

/** Tells how many months in a row each table has ahead, and warns where the next one is not made: its rows would go to the default. */
export async function watchPartitions(
  { pool, keepMonths, log, metrics }: PartitionResources & { metrics: Metrics },
  now: Date,
): Promise<void> {
  const tables = retentions(keepMonths).map(({ table }) => table);
  for (const [table, months] of await findMonths(pool, tables)) {
    let ahead = 0;
    while (months.includes(textOf(monthAt(now, ahead + 1)))) ahead += 1;
    metrics.partitionsAhead.set({ table }, ahead);
    if (ahead < 1) log.warn({ table, ahead }, 'The next month has no partition yet; is the pool "analytics" running?');
  }
}
