import type { Pool } from 'pg';

/** Months that tables are parted by, as the system. @returns first days (YYYY-MM-DD) by table; a table that is not parted is missing */
export async function findMonths(systemPool: Pool, tables: readonly string[]): Promise<Map<string, string[]>> {
  const { rows } = await systemPool.query<{ parent: string; months: string[] }>(
    `select p.relname as parent, coalesce(array_agg(to_date(right(c.relname, 6), 'YYYYMM')::text order by c.relname)
        filter (where c.relname ~ '_[0-9]{6}$'), '{}') as months
      from pg_class p left join pg_inherits i on i.inhparent = p.oid left join pg_class c on c.oid = i.inhrelid
      where p.relnamespace = 'public'::regnamespace and p.relkind = 'p' and p.relname = any ($1) group by p.relname`,
    [tables],
  );
  return new Map(rows.map(({ parent, months }) => [parent, months]));
}

/** Any number, the same in every version: one partition is changed at a time. */
const PARTITION_LOCK = 7_203_003;

/**
 * Makes or drops the partition of a month. Waits for the table's lock for a few seconds at most, since everybody else waits behind it.
 * @param change `partition_make` or `partition_drop`; the system may do neither in any other way
 * @returns whether there was anything to do
 */
export async function changePartition(
  systemPool: Pool,
  change: 'partition_make' | 'partition_drop',
  table: string,
  month: string,
): Promise<boolean> {
  const client = await systemPool.connect();
  try {
    await client.query(`set lock_timeout = '3s'`);
    await client.query('select pg_advisory_lock($1)', [PARTITION_LOCK]);
    const { rows } = await client.query<{ done: boolean }>(`select ${change}($1::regclass, $2::date) as done`, [
      table,
      month,
    ]);
    return rows[0]?.done ?? false;
  } finally {
    // Not given back: the setting and the lock would go with it.
    client.release(true);
  }
}
