import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Metric } from '#src/modules/analytics/metrics.ts';
import type { Dimension, FactSource } from '#src/modules/analytics/sources/define.ts';

/** A period by the clock of a workspace, and how new its figures are. */
export interface Period {
  timeZone: string;
  /** Every fact committed before is in the figures that are read after this. */
  asOf: Date;
  starts: Date;
  ends: Date;
  /** The first day of the period and the one after its last, of the workspace's calendar. */
  firstDay: string;
  endDay: string;
}

/**
 * @param from a date, which means its beginning by the workspace's clock, or a moment; without one, 29 days before today
 * @param to the same, excluded; without one, now
 */
export async function readPeriod(
  pool: Pool,
  workspaceId: string,
  { from, to }: { from?: string | undefined; to?: string | undefined },
): Promise<Period | undefined> {
  const { rows } = await queryAs<Period>(
    pool,
    { workspaceId },
    {
      name: 'analytics-period',
      text: `with clock as (select coalesce(s.time_zone, w.time_zone) as tz from workspace w
          left join analytics_state s on s.workspace_id = w.id where w.id = $1),
        period as (select tz,
          case when $2::text is null then ((now() at time zone tz)::date - 29)::timestamp at time zone tz
            when length($2) = 10 then $2::date::timestamp at time zone tz else $2::timestamptz end as starts,
          case when $3::text is null then now()
            when length($3) = 10 then $3::date::timestamp at time zone tz else $3::timestamptz end as ends from clock)
        select tz as "timeZone", starts, ends, (starts at time zone tz)::date::text as "firstDay",
          ((ends - interval '1 microsecond') at time zone tz)::date + 1 || '' as "endDay",
          coalesce((select min(m.marked_at) from analytics_mark m where m.workspace_id = $1), now()) as "asOf"
        from period`,
      values: [workspaceId, from ?? null, to ?? null],
    },
  );
  return rows[0];
}

/** What figures are added up by; amounts of money never without their currency. */
export type Grouping = 'day' | Dimension | 'provider/model' | `${'day' | Dimension}/currency`;

function keyOf(source: FactSource, grouping: Grouping): string {
  const parts = grouping.split('/').map((part) => {
    if (part === 'day') return 'day::text';
    const at = source.dimensions.findIndex((dimension) => dimension === part);
    if (at < 0) throw new Error(`${source.name} is not known by ${part}`);
    return `dimensions[${at + 1}]`;
  });
  return parts.join(` || '/' || `);
}

/** Of whose figures: of everybody's, or of one member's. */
export interface Whose {
  workspaceId: string;
  userId: string | undefined;
}

const isOf = (source: FactSource, parameter: string): string =>
  `(${parameter}::text is null or dimensions[${source.dimensions.indexOf('user') + 1}] = ${parameter})`;

/** Sums of a source's measures over whole days, by group. */
export async function readSums(
  pool: Pool,
  { workspaceId, userId }: Whose,
  source: FactSource,
  grouping: Grouping,
  { firstDay, endDay }: Pick<Period, 'firstDay' | 'endDay'>,
): Promise<{ key: string; amounts: number[] }[]> {
  const sums = source.measures.map((_, at) => `coalesce(sum(amounts[${at + 1}]), 0)::float8`);
  const { rows } = await queryAs<{ key: string; amounts: number[] }>(
    pool,
    { workspaceId },
    {
      name: `analytics-sums-${source.name}-${grouping}`,
      text: `select ${keyOf(source, grouping)} as key, array[${sums.join()}] as amounts from analytics_daily
        where workspace_id = $1 and source = $2 and day >= $3::date and day < $4::date and ${isOf(source, '$5')} group by 1 order by 1`,
      values: [workspaceId, source.name, firstDay, endDay, userId ?? null],
    },
  );
  return rows;
}

/** A point of a series: what was counted from `at` on, for `hours`. */
export interface Point {
  at: Date;
  /** The same by the workspace's clock: a date, or the time of day with its offset. */
  local: string;
  hours: number;
  value: number;
}

const DAYS = `select d.at, to_char(d.day, 'YYYY-MM-DD') as local,
    (extract(epoch from (d.day + 1)::timestamp at time zone $7 - d.at) / 3600)::float8 as hours, coalesce(v.value, 0)::float8 as value
  from (select day, day::timestamp at time zone $7 as at
    from (select $4::date + n as day from generate_series(0, $5::date - $4::date - 1) n) t) d`;

const HOURS = `select h.at, to_char(h.at at time zone $7, 'YYYY-MM-DD"T"HH24:MI') || case when o.offset_seconds < 0 then '-' else '+' end
      || to_char(make_interval(secs => abs(o.offset_seconds)), 'HH24:MI') as local, 1::float8 as hours,
    coalesce(v.value, 0)::float8 as value
  from generate_series(date_trunc('hour', $4::timestamptz, 'UTC'), $5::timestamptz - interval '1 microsecond', interval '1 hour') h (at)
  cross join lateral (select extract(epoch from (h.at at time zone $7) - (h.at at time zone 'UTC'))::int as offset_seconds) o`;

/** One metric, bucket by bucket without gaps; what is stored, not yet what is shown. */
export async function readSeries(
  pool: Pool,
  { workspaceId, userId }: Whose,
  { source, place }: Metric,
  bucket: 'hour' | 'day',
  period: Period,
): Promise<Point[]> {
  const isDay = bucket === 'day';
  const [table, column] = isDay ? ['analytics_daily', 'day'] : ['analytics_hourly', 'hour'];
  const [from, to] = isDay ? [period.firstDay, period.endDay] : [period.starts, period.ends];
  const { rows } = await queryAs<Point>(
    pool,
    { workspaceId },
    {
      name: `analytics-series-${bucket}-${source.name}`,
      text: `${isDay ? DAYS : HOURS} left join (select ${column} as bucket, sum(amounts[$6::int]) as value from ${table}
          where workspace_id = $1 and source = $2 and ${isOf(source, '$3')}
            and ${column} >= ${isDay ? '$4::date' : `date_trunc('hour', $4::timestamptz, 'UTC')`}
            and ${column} < ${isDay ? '$5::date' : '$5::timestamptz'} group by 1) v
        on v.bucket = ${isDay ? 'd.day' : 'h.at'} order by 1`,
      values: [workspaceId, source.name, userId ?? null, from, to, place + 1, period.timeZone],
    },
  );
  return rows;
}

/** The members of a workspace. */
export async function readMembers(pool: Pool, workspaceId: string): Promise<{ userId: string; name: string }[]> {
  const { rows } = await queryAs<{ userId: string; name: string }>(
    pool,
    { workspaceId },
    {
      name: 'analytics-members',
      text: `select m.user_id as "userId", u.name from member m join app_user u on u.id = m.user_id
        where m.workspace_id = $1 order by u.name, m.user_id`,
      values: [workspaceId],
    },
  );
  return rows;
}
