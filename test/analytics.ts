import { randomBytes } from 'node:crypto';
import type { ClientBase, Pool } from 'pg';

/** A call of a provider that a test books, as it came from a job that ended. */
export interface Fact {
  startedAt: Date;
  engine: string;
  provider: string;
  model: string;
  userId: string;
  outcome: 'delivered' | 'failed' | 'cancelled';
  isOwnKey: boolean;
  tokens: number;
  costNano: number;
  latencyMs: number;
}

/** A UUID v7 of a moment. */
export function idAt(at: Date): string {
  const hex = `${at.getTime().toString(16).padStart(12, '0')}7${randomBytes(10).toString('hex').slice(0, 3)}8${randomBytes(10).toString('hex').slice(0, 15)}`;
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Writes jobs that ended a second after their call began, each with that call, in the transaction of the client. */
export async function book(client: Pool | ClientBase, workspaceId: string, facts: readonly Fact[]): Promise<void> {
  const ids = facts.map(({ startedAt }) => idAt(startedAt));
  await client.query(
    `insert into job (workspace_id, id, user_id, queue, engine, band, options, request_id, max_attempts, credit_held, status)
      select $1, id, user_id, 'ai-inference', engine, 'normal', '{}', 'r', 3, 0, 'queued'
      from unnest($2::uuid[], $3::uuid[], $4::text[]) t (id, user_id, engine)`,
    [workspaceId, ids, facts.map(({ userId }) => userId), facts.map(({ engine }) => engine)],
  );
  await client.query(
    `insert into ai_usage_log (workspace_id, job_id, attempt_no, call_no, user_id, engine, strategy, provider, model, key_owner, outcome,
      input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, is_estimated, cost_nano, credits,
      price_version, latency_ms, started_at)
      select $1, id, 1, 1, user_id, engine, 'failover', provider, model, key_owner, outcome, tokens, tokens / 2, 0, tokens / 3, 1, false,
        cost, cost / 2, 'v', latency, started_at
      from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::int[],
        $12::timestamptz[]) t (id, user_id, engine, provider, model, key_owner, outcome, tokens, cost, latency, started_at)`,
    [
      workspaceId,
      ids,
      facts.map(({ userId }) => userId),
      facts.map(({ engine }) => engine),
      facts.map(({ provider }) => provider),
      facts.map(({ model }) => model),
      facts.map(({ isOwnKey }) => (isOwnKey ? 'workspace' : 'installation')),
      facts.map(({ outcome }) => outcome),
      facts.map(({ tokens }) => tokens),
      facts.map(({ costNano }) => costNano),
      facts.map(({ latencyMs }) => latencyMs),
      facts.map(({ startedAt }) => startedAt),
    ],
  );
  await client.query(
    `update job j set finished_at = t.at + interval '1 second', status = t.status
      from unnest($2::uuid[], $3::timestamptz[], $4::text[]) t (id, at, status) where j.workspace_id = $1 and j.id = t.id`,
    [
      workspaceId,
      ids,
      facts.map(({ startedAt }) => startedAt),
      facts.map(({ outcome }) => (outcome === 'delivered' ? 'completed' : outcome)),
    ],
  );
}

const FIGURES = `array[count(*), count(*) filter (where outcome = 'failed'), sum(input_tokens), sum(cached_input_tokens), sum(output_tokens),
  sum(reasoning_tokens), sum(cost_nano), coalesce(sum(cost_nano) filter (where key_owner = 'workspace'), 0), sum(credits)]::bigint[]`;

/** What the figures of a workspace should be, counted plainly from all its facts, and what they are; each a line per row. */
export async function figuresOf(
  pool: Pool,
  workspaceId: string,
  timeZone: string,
): Promise<{ counted: string[]; kept: string[] }> {
  const lines = async (sql: string, values: unknown[]) =>
    (
      await pool.query<{ line: string }>(`select row_to_json(t)::text as line from (${sql}) t order by 1`, values)
    ).rows.map(({ line }) => line);
  const counted = await lines(
    `select 'hour' as kind, extract(epoch from date_trunc('hour', started_at, 'UTC'))::text as bucket,
        array[engine, provider, model, user_id::text] as dimensions, ${FIGURES} as amounts, count(*) as timed
      from ai_usage_log where workspace_id = $1 group by 2, 3
    union all select 'day', (started_at at time zone $2)::date::text, array[engine, provider, model, user_id::text], ${FIGURES}, count(*)
      from ai_usage_log where workspace_id = $1 group by 2, 3
    union all select 'jobs', (finished_at at time zone $2)::date::text, array[engine, user_id::text],
        array[count(*) filter (where status = 'completed'), count(*) filter (where status = 'failed'),
          count(*) filter (where status = 'cancelled')], 0
      from job where workspace_id = $1 and finished_at is not null group by 2, 3`,
    [workspaceId, timeZone],
  );
  const kept = await lines(
    `select 'hour' as kind, extract(epoch from hour)::text as bucket, dimensions, amounts[1:9] as amounts,
        (select sum(n) from unnest(amounts[10:]) n)::bigint as timed from analytics_hourly where workspace_id = $1 and source = 'ai.calls'
    union all select 'day', day::text, dimensions, amounts[1:9], (select sum(n) from unnest(amounts[10:]) n)::bigint
      from analytics_daily where workspace_id = $1 and source = 'ai.calls'
    union all select 'jobs', day::text, dimensions, amounts, 0 from analytics_daily where workspace_id = $1 and source = 'jobs'`,
    [workspaceId],
  );
  return { counted, kept };
}
