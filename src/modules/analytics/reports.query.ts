import type { Pool, QueryResultRow } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Whose } from '#src/modules/analytics/analytics.query.ts';
import { aiCalls } from '#src/modules/analytics/sources/ai-calls.query.ts';
import { jobs } from '#src/modules/analytics/sources/jobs.query.ts';

/** What a line of a file consists of. */
export type Cell = string | number | null;

/** Days of a report that are read at once. */
export interface Days {
  firstDay: string;
  endDay: string;
}

async function rowsOf(
  pool: Pool,
  { workspaceId, userId }: Whose,
  name: string,
  text: string,
  values: unknown[],
): Promise<Record<string, Cell>[]> {
  const { rows } = await queryAs<QueryResultRow & Record<string, Cell>>(
    pool,
    { workspaceId },
    { name, text, values: [workspaceId, userId ?? null, ...values] },
  );
  return rows;
}

const place = (measure: (typeof aiCalls)['measures'][number]): number => aiCalls.measures.indexOf(measure) + 1;
const sum = (measure: (typeof aiCalls)['measures'][number], per = 1): string =>
  `coalesce(sum(amounts[${place(measure)}]), 0)::float8 / ${per}`;
const MONEY = `${sum('costNano', 1e9)} as cost_usd, ${sum('microCredits', 1e6)} as credits`;

/** Calls by day, engine, provider and model. */
export const readAiDays = (pool: Pool, whose: Whose, days: Days): Promise<Record<string, Cell>[]> =>
  rowsOf(
    pool,
    whose,
    'analytics-report-ai',
    `select day::text, dimensions[1] as engine, dimensions[2] as provider, dimensions[3] as model, ${sum('calls')} as calls,
      ${sum('failures')} as failures, ${sum('inputTokens')} as input_tokens, ${sum('cachedInputTokens')} as cached_input_tokens,
      ${sum('outputTokens')} as output_tokens, ${sum('reasoningTokens')} as reasoning_tokens, ${MONEY}
    from analytics_daily where workspace_id = $1 and source = '${aiCalls.name}' and ($2::text is null or dimensions[4] = $2)
      and day >= $3::date and day < $4::date group by day, 2, 3, 4 order by day, 2, 3, 4`,
    [days.firstDay, days.endDay],
  );

/** What members had done, by day. */
export const readTeamDays = (pool: Pool, whose: Whose, days: Days): Promise<Record<string, Cell>[]> =>
  rowsOf(
    pool,
    whose,
    'analytics-report-team',
    `with calls as (select day, dimensions[4] as user_id, ${sum('calls')} as calls, ${MONEY} from analytics_daily
        where workspace_id = $1 and source = '${aiCalls.name}' and day >= $3::date and day < $4::date group by 1, 2),
      ended as (select day, dimensions[2] as user_id, ${jobs.measures
        .map((name, at) => `coalesce(sum(amounts[${at + 1}]), 0)::float8 as jobs_${name}`)
        .join()}
        from analytics_daily where workspace_id = $1 and source = '${jobs.name}' and day >= $3::date and day < $4::date group by 1, 2)
    select day::text, user_id, (select u.name from member m join app_user u on u.id = m.user_id
        where m.workspace_id = $1 and m.user_id::text = t.user_id) as name,
      coalesce(jobs_completed, 0) as jobs_completed, coalesce(jobs_failed, 0) as jobs_failed,
      coalesce(jobs_cancelled, 0) as jobs_cancelled, coalesce(calls, 0) as calls, coalesce(cost_usd, 0) as cost_usd,
      coalesce(credits, 0) as credits
    from calls full join ended using (day, user_id) as t where ($2::text is null or user_id = $2) order by t.day, user_id`,
    [days.firstDay, days.endDay],
  );

/** Where a page of calls ended. */
export interface CallKey {
  startedAt: string;
  jobId: string;
  attemptNo: number;
  callNo: number;
}

/** Single calls, oldest first. @param after the key of the last one read */
export const readCalls = (
  pool: Pool,
  whose: Whose,
  { starts, ends, after, limit }: { starts: Date; ends: Date; after: CallKey | undefined; limit: number },
): Promise<Record<string, Cell>[]> =>
  rowsOf(
    pool,
    whose,
    'analytics-report-calls',
    `select to_char(started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as started_at, job_id::text, attempt_no, call_no,
      user_id::text, engine, strategy, provider, model, key_owner, outcome, failure, fallback_from, input_tokens::float8 as input_tokens,
      cached_input_tokens::float8 as cached_input_tokens, output_tokens::float8 as output_tokens,
      reasoning_tokens::float8 as reasoning_tokens, cost_nano / 1e9::float8 as cost_usd, credits / 1e6::float8 as credits, latency_ms,
      ttft_ms
    from ai_usage_log where workspace_id = $1 and ($2::uuid is null or user_id = $2::uuid) and started_at >= $3 and started_at < $4
      and started_at >= coalesce($5::timestamptz, '-infinity')
      and ($5::timestamptz is null or (started_at, job_id, attempt_no, call_no) > ($5::timestamptz, $6::uuid, $7::int, $8::int))
    order by ai_usage_log.started_at, ai_usage_log.job_id, attempt_no, call_no limit $9`,
    [
      starts,
      ends,
      after?.startedAt ?? null,
      after?.jobId ?? null,
      after?.attemptNo ?? null,
      after?.callNo ?? null,
      limit,
    ],
  );
