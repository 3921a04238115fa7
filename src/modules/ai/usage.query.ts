import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';

/** What each group is named by; days are those of the workspace's time zone. */
const KEYS = {
  provider: 'u.provider',
  model: `u.provider || '/' || u.model`,
  engine: 'u.engine',
  user: 'u.user_id::text',
  day: `to_char(u.started_at at time zone w.time_zone, 'YYYY-MM-DD')`,
} as const;
export type UsageGroup = keyof typeof KEYS;

/** The calls of one group; `bigint` sums come as text. */
export interface UsageRow {
  key: string;
  calls: number;
  failures: number;
  input_tokens: string;
  cached_input_tokens: string;
  output_tokens: string;
  reasoning_tokens: string;
  cost_nano: string;
  own_key_cost_nano: string;
  credits: string;
}

export interface UsageFilter {
  workspaceId: string;
  /** Only the calls of this user's jobs. */
  userId: string | undefined;
  from: Date;
  to: Date;
  groupBy: UsageGroup;
  limit: number;
}

/** What a workspace's calls came to from a moment until before another, by group: days in order, others the dearest first. */
export async function findUsage(pool: Pool, filter: UsageFilter): Promise<UsageRow[]> {
  const { groupBy, workspaceId, from, to } = filter;
  const { rows } = await queryAs<UsageRow>(
    pool,
    { workspaceId },
    {
      name: `ai-usage-${groupBy}`,
      text: `select ${KEYS[groupBy]} as key, count(*)::int as calls, (count(*) filter (where u.outcome = 'failed'))::int as failures,
        sum(u.input_tokens)::text as input_tokens, sum(u.cached_input_tokens)::text as cached_input_tokens,
        sum(u.output_tokens)::text as output_tokens, sum(u.reasoning_tokens)::text as reasoning_tokens,
        sum(u.cost_nano)::text as cost_nano,
        coalesce(sum(u.cost_nano) filter (where u.key_owner = 'workspace'), 0)::text as own_key_cost_nano,
        sum(u.credits)::text as credits
        from ai_usage_log u join workspace w on w.id = u.workspace_id
        where u.workspace_id = $1 and u.started_at >= $2 and u.started_at < $3 and ($4::uuid is null or u.user_id = $4)
        group by 1 order by ${groupBy === 'day' ? '1' : 'sum(u.cost_nano) desc, 1'} limit $5`,
      values: [workspaceId, from, to, filter.userId ?? null, filter.limit],
    },
  );
  return rows;
}
