import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import { exactly } from '#src/modules/pipelines/board.query.ts';

export interface ForecastRow {
  /** `2026-11`; null for open deals nobody expects at a date. */
  month: string | null;
  currency: string;
  openCount: number;
  openMinor: number;
  weightedMinor: number;
  wonCount: number;
  wonMinor: number;
}

/** Months as `2026-11`, both included. */
export interface Asked {
  pipelineId: string | undefined;
  ownerId: string | undefined;
  from: string | undefined;
  to: string | undefined;
}

/**
 * What is to be expected by month and currency. Of open deals the amount times the deal's probability, or else its stage's: percents are
 * added up exactly, and rounded once for each month and currency, half up.
 */
export function forecastStatement(
  workspaceId: string,
  { pipelineId, ownerId, from, to }: Asked,
): { text: string; values: unknown[] } {
  const values: unknown[] = [workspaceId];
  const bounds = { open: '', won: '' };
  const add = (value: string | undefined, open: (parameter: string) => string, won = open): void => {
    if (value === undefined) return;
    const parameter = `$${values.push(value)}`;
    bounds.open += ` and ${open(parameter)}`;
    bounds.won += ` and ${won(parameter)}`;
  };
  const zone = '(select time_zone from workspace where id = $1)';
  add(pipelineId, (is) => `d.pipeline_id = ${is}::uuid`);
  add(ownerId, (is) => `d.owner_id = ${is}::uuid`);
  add(
    from && `${from}-01`,
    (is) => `d.expected_close >= ${is}::date`,
    (is) => `d.closed_at >= ${is}::date::timestamp at time zone ${zone}`,
  );
  add(
    to && `${to}-01`,
    (is) => `d.expected_close < (${is}::date + interval '1 month')::date`,
    (is) => `d.closed_at < (${is}::date + interval '1 month') at time zone ${zone}`,
  );
  const alive = 'd.workspace_id = $1 and d.deleted_at is null';
  return {
    text: `select month, currency, sum(open_count)::int as "openCount", ${exactly('sum(open_amount)')} as "openMinor",
        ${exactly('div(sum(percents) + 50, 100)')} as "weightedMinor", sum(won_count)::int as "wonCount",
        ${exactly('sum(won_amount)')} as "wonMinor"
      from (
        select to_char(d.expected_close, 'YYYY-MM') as month, d.currency, count(*) as open_count, sum(d.amount_minor) as open_amount,
            sum(d.amount_minor::numeric * coalesce(d.probability, s.probability)) as percents, 0 as won_count, 0 as won_amount
          from deal d join pipeline_stage s on s.workspace_id = d.workspace_id and s.id = d.stage_id
          where ${alive} and d.status = 'open' ${bounds.open} group by 1, 2
        union all
        select to_char(d.closed_at at time zone ${zone}, 'YYYY-MM'), d.currency, 0, 0, 0, count(*), sum(d.amount_minor)
          from deal d where ${alive} and d.closed_at is not null and d.status = 'won' ${bounds.won} group by 1, 2) f
      group by month, currency order by month nulls last, currency`,
    values,
  };
}

/** @returns the rows, and the zone whose months those of won deals are */
export async function readForecast(
  pool: Pool,
  workspaceId: string,
  asked: Asked,
): Promise<{ timeZone: string; rows: ForecastRow[] }> {
  const [zone, forecast] = await Promise.all([
    queryAs<{ timeZone: string }>(
      pool,
      { workspaceId },
      {
        name: 'forecast-zone',
        text: 'select time_zone as "timeZone" from workspace where id = $1',
        values: [workspaceId],
      },
    ),
    queryAs<ForecastRow>(pool, { workspaceId }, forecastStatement(workspaceId, asked)),
  ]);
  return { timeZone: zone.rows[0]?.timeZone ?? 'UTC', rows: forecast.rows };
}
