import type { Pool, PoolClient } from 'pg';
import { sumOf, type FactSource } from '#src/modules/analytics/sources/define.ts';

/** Has the transaction see one workspace. */
export async function seeWorkspace(tx: PoolClient, workspaceId: string): Promise<void> {
  await tx.query(`select set_config('app.workspace_id', $1, true)`, [workspaceId]);
}

/**
 * Keeps any other rollup of the workspace out until the transaction ends. Statements behind it see all that one wrote.
 * @returns the zone the kept days are of (null: none yet), that of the workspace's clock now, and how
 *   often in a row it failed; undefined where there is no such workspace
 */
export async function lockState(
  tx: PoolClient,
  workspaceId: string,
): Promise<{ keptZone: string | null; timeZone: string; failures: number } | undefined> {
  await tx.query({
    name: 'analytics-state-make',
    // Locks, before the zone is read: a row that was waited for is joined to what was there before the wait.
    text: `insert into analytics_state as s (workspace_id) select id from workspace where id = $1
      on conflict (workspace_id) do update set failures = s.failures`,
    values: [workspaceId],
  });
  const { rows } = await tx.query<{ keptZone: string | null; timeZone: string; failures: number }>({
    name: 'analytics-state-read',
    text: `select s.time_zone as "keptZone", w.time_zone as "timeZone", s.failures
      from analytics_state s join workspace w on w.id = s.workspace_id
      where s.workspace_id = $1`,
    values: [workspaceId],
  });
  return rows[0];
}

/** Hours from `hour` on that have new facts. */
export interface Mark {
  hour: Date;
  hours: number;
  markedAt: Date;
}

/**
 * Takes the marks of a workspace's newest hours. What they stand for was committed with them, so whatever is read after this statement
 * sees it.
 * @param limit hours whose marks are taken at most
 */
export async function takeMarks(tx: PoolClient, workspaceId: string, limit: number): Promise<Mark[]> {
  const { rows } = await tx.query<Mark>({
    name: 'analytics-marks-take',
    text: `with taken as (delete from analytics_mark where workspace_id = $1 and hour in (
        select hour from analytics_mark where workspace_id = $1 group by hour order by hour desc limit $2)
        returning hour, hours, marked_at)
      select hour, max(hours) as hours, min(marked_at) as "markedAt" from taken group by hour order by hour desc`,
    values: [workspaceId, limit],
  });
  return rows;
}

/** Marks hours that are left for later. */
export async function putBack(tx: PoolClient, workspaceId: string, marks: readonly Mark[]): Promise<void> {
  await tx.query({
    name: 'analytics-marks-put-back',
    text: `insert into analytics_mark (workspace_id, hour, hours, marked_at)
      select $1, * from unnest($2::timestamptz[], $3::int[], $4::timestamptz[])`,
    values: [
      workspaceId,
      marks.map(({ hour }) => hour),
      marks.map(({ hours }) => hours),
      marks.map(({ markedAt }) => markedAt),
    ],
  });
}

/** Replaces what is kept of the buckets by what `fresh` selects: nothing is ever added to what was there. */
const replace = (
  table: string,
  column: string,
  fresh: string,
  buckets: string,
): string => `with fresh as materialized (${fresh}),
  gone as (delete from ${table} t where t.workspace_id = $1 and t.source = $2 and t.${column} = any (${buckets})
    and not exists (select from fresh f where f.bucket = t.${column} and f.dimensions = t.dimensions))
  insert into ${table} as t (workspace_id, source, ${column}, dimensions, amounts)
  select $1, $2, f.bucket, f.dimensions, f.amounts from fresh f
  on conflict (workspace_id, source, ${column}, dimensions) do update set amounts = excluded.amounts
    where t.amounts is distinct from excluded.amounts`;

/** Counts the facts of hours anew. */
export async function countHours(
  tx: PoolClient,
  workspaceId: string,
  source: FactSource,
  hours: readonly Date[],
): Promise<void> {
  const fresh = `select bucket.starts as bucket, f.dimensions, f.amounts
    from (select h as starts, h + interval '1 hour' as ends from unnest($3::timestamptz[]) h) bucket cross join lateral (${source.facts}) f`;
  await tx.query({
    name: `analytics-hours-${source.name}`,
    text: replace('analytics_hourly', 'hour', fresh, '$3'),
    values: [workspaceId, source.name, hours],
  });
}

/** The days of a zone's calendar that hours lie in. @returns dates (YYYY-MM-DD) */
export async function findDays(tx: PoolClient, hours: readonly Date[], timeZone: string): Promise<string[]> {
  const { rows } = await tx.query<{ day: string }>({
    name: 'analytics-days',
    text: `select distinct (t at time zone $2)::date::text as day
      from unnest($1::timestamptz[]) h, unnest(array[h, h + interval '59 minutes']) t order by 1`,
    values: [hours, timeZone],
  });
  return rows.map(({ day }) => day);
}

/** All days there are figures of, in a zone's calendar. @returns dates (YYYY-MM-DD) */
export async function findAllDays(tx: PoolClient, workspaceId: string, timeZone: string): Promise<string[]> {
  const { rows } = await tx.query<{ day: string }>(
    `select distinct (t at time zone $2)::date::text as day from (select distinct hour from analytics_hourly where workspace_id = $1) h,
      unnest(array[h.hour, h.hour + interval '59 minutes']) t order by 1`,
    [workspaceId, timeZone],
  );
  return rows.map(({ day }) => day);
}

/** Drops every day, since they are those of another zone. */
export async function dropDays(tx: PoolClient, workspaceId: string): Promise<void> {
  await tx.query('delete from analytics_daily where workspace_id = $1', [workspaceId]);
}

/**
 * Makes days anew. A day is the sum of its hours, be they 23, 24 or 25. Where it does not begin or end with an hour (zones with half-hour
 * offsets) its facts are counted; where these are no longer kept (before `horizon`) an hour belongs to the day it begins in.
 */
export async function sumDays(
  tx: PoolClient,
  workspaceId: string,
  source: FactSource,
  { days, timeZone, horizon }: { days: readonly string[]; timeZone: string; horizon: Date },
): Promise<void> {
  const sums = source.measures.map((_, at) => `coalesce(${sumOf(`h.amounts[${at + 1}]`)}, 0)`);
  const fresh = `select * from (
      select b.bucket, b.starts, b.ends,
        b.starts >= $5 and (date_trunc('hour', b.starts, 'UTC') <> b.starts or date_trunc('hour', b.ends, 'UTC') <> b.ends) as is_split
      from (select d as bucket, d::timestamp at time zone $4 as starts, (d + 1)::timestamp at time zone $4 as ends
        from unnest($3::date[]) d) b) bucket
    cross join lateral (
      select h.dimensions, array[${sums.join()}] as amounts from analytics_hourly h
        where not bucket.is_split and h.workspace_id = $1 and h.source = $2 and h.hour >= bucket.starts and h.hour < bucket.ends
        group by h.dimensions
      union all
      select f.dimensions, f.amounts from (${source.facts}) f where bucket.is_split) f`;
  await tx.query({
    name: `analytics-days-${source.name}`,
    text: replace('analytics_daily', 'day', fresh, '$3::date[]'),
    values: [workspaceId, source.name, days, timeZone, horizon],
  });
}

/** Notes that a rollup went well; the next one is due after a pause. */
export async function noteRollup(
  tx: PoolClient,
  workspaceId: string,
  timeZone: string,
  pauseMs: number,
): Promise<void> {
  await tx.query({
    name: 'analytics-state-note',
    text: `update analytics_state set time_zone = $2, failures = 0, rolled_up_at = clock_timestamp(),
      next_rollup_at = clock_timestamp() + $3 * interval '1 millisecond' where workspace_id = $1`,
    values: [workspaceId, timeZone, pauseMs],
  });
}

/** Notes that a rollup failed; the pause grows with each failure. @returns how many in a row */
export async function noteFailure(
  tx: PoolClient,
  workspaceId: string,
  { baseMs, capMs }: { baseMs: number; capMs: number },
): Promise<number> {
  const { rows } = await tx.query<{ failures: number }>(
    `insert into analytics_state (workspace_id, failures, next_rollup_at)
      select id, 1, now() + $2 * interval '1 millisecond' from workspace where id = $1
      on conflict (workspace_id) do update set failures = analytics_state.failures + 1,
        next_rollup_at = now() + least($3, $2 * 2 ^ least(analytics_state.failures, 20)) * interval '1 millisecond'
      returning failures`,
    [workspaceId, baseMs, capMs],
  );
  return rows[0]?.failures ?? 0;
}

/** Workspaces that have marks and are due, as the system; those with a failure behind them come when their pause is over. */
export async function findDue(systemPool: Pool, limit: number): Promise<string[]> {
  const { rows } = await systemPool.query<{ id: string }>({
    name: 'analytics-due',
    text: `select m.workspace_id as id from (select distinct workspace_id from analytics_mark) m
      left join analytics_state s using (workspace_id)
      where s.next_rollup_at is null or s.next_rollup_at <= now() order by s.next_rollup_at nulls first limit $1`,
    values: [limit],
  });
  return rows.map(({ id }) => id);
}

/** The age of the oldest mark in seconds, 0 without one: how far the figures are behind. */
export async function findLag(systemPool: Pool): Promise<number> {
  const { rows } = await systemPool.query<{ seconds: number }>({
    name: 'analytics-lag',
    text: `select coalesce(extract(epoch from now() - min(marked_at)), 0)::float8 as seconds from analytics_mark`,
  });
  return rows[0]?.seconds ?? 0;
}

/**
 * Marks a span of hours, as the system, to be counted again.
 * @param workspaceId one workspace, or all
 * @returns of how many workspaces
 */
export async function markSpan(
  systemPool: Pool,
  { workspaceId, from, to }: { workspaceId: string | undefined; from: Date; to: Date },
): Promise<number> {
  const { rowCount } = await systemPool.query(
    `insert into analytics_mark (workspace_id, hour, hours)
      select id, date_trunc('hour', $2::timestamptz, 'UTC'),
        ceil(extract(epoch from $3::timestamptz - date_trunc('hour', $2::timestamptz, 'UTC')) / 3600)::int
      from workspace where deleted_at is null and ($1::uuid is null or id = $1)`,
    [workspaceId ?? null, from, to],
  );
  return rowCount ?? 0;
}
