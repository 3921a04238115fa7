import { defineSource, sumOf } from '#src/modules/analytics/sources/define.ts';
import { LATENCY_ENDS_MS, LATENCY_MEASURES } from '#src/modules/analytics/sources/latency.ts';

const BUCKET = `width_bucket(u.latency_ms, array[${LATENCY_ENDS_MS.join()}])`;
const histogram = LATENCY_MEASURES.map((_, at) => `count(*) filter (where u.latency_bucket = ${at})`);

/** Calls of providers, by the moment they began: every one, also one that failed and was answered by the next. */
export const aiCalls = defineSource({
  name: 'ai.calls',
  dimensions: ['engine', 'provider', 'model', 'user'],
  measures: [
    'calls',
    'failures',
    'inputTokens',
    'cachedInputTokens',
    'outputTokens',
    'reasoningTokens',
    'costNano',
    'ownKeyCostNano',
    'microCredits',
    ...LATENCY_MEASURES,
  ],
  facts: `select array[u.engine, u.provider, u.model, u.user_id::text] as dimensions, array[count(*),
      count(*) filter (where u.outcome = 'failed'), ${['input_tokens', 'cached_input_tokens', 'output_tokens', 'reasoning_tokens', 'cost_nano'].map((name) => sumOf(`u.${name}`)).join()},
      ${sumOf(`case when u.key_owner = 'workspace' then u.cost_nano else 0 end`)}, ${sumOf('u.credits')}, ${histogram.join()}] as amounts
    from (select u.*, ${BUCKET} as latency_bucket from ai_usage_log u
      where u.workspace_id = $1 and u.started_at >= bucket.starts and u.started_at < bucket.ends) u
    group by u.engine, u.provider, u.model, u.user_id`,
});
