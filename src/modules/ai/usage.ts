import type { AttemptRecord } from '#src/ai/attempt.ts';
import { factsOf } from '#src/ai/catalog.ts';
import { costNanoUsd } from '#src/ai/cost.ts';
import type { Usage } from '#src/ai/model.ts';
import type { UsageCall } from '#src/modules/jobs/finish.query.ts';

const NOTHING: Usage = {
  inputTokens: 0,
  cachedInputTokens: 0,
  cacheWriteTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  estimated: false,
};

/**
 * One provider call as it is booked, costed by the price in force when it began. Nothing arrived: nothing is booked.
 * @param before the calls of the same attempt so far
 */
export function usageCall(record: AttemptRecord, before: readonly UsageCall[]): UsageCall {
  const { provider, model, strategy, failure, usage = NOTHING } = record;
  const facts = factsOf(provider, model, record.startedAt);
  const last = before.at(-1);
  const isFallback = last && (last.provider !== provider || last.model !== model);
  return {
    call_no: before.length + 1,
    strategy,
    provider,
    model,
    key_owner: record.keyOwner,
    outcome: failure === undefined ? 'delivered' : failure === 'cancelled' ? 'cancelled' : 'failed',
    failure: failure ?? null,
    fallback_from: isFallback ? `${last.provider}/${last.model}` : null,
    input_tokens: usage.inputTokens,
    cached_input_tokens: usage.cachedInputTokens,
    cache_write_tokens: usage.cacheWriteTokens,
    output_tokens: usage.outputTokens,
    reasoning_tokens: usage.reasoningTokens,
    is_estimated: usage.estimated,
    is_paid: false,
    // What a broken server counts must not keep the job from being ended.
    cost_nano: Math.min(Number.MAX_SAFE_INTEGER, costNanoUsd(facts, usage)),
    price_version: facts.priceVersion,
    latency_ms: record.latencyMs,
    ttft_ms: record.timeToFirstTokenMs,
    started_at_ms: record.startedAt,
  };
}
