import { aiCalls } from '#src/modules/analytics/sources/ai-calls.query.ts';
import { deals } from '#src/modules/analytics/sources/deals.query.ts';
import { contacts } from '#src/modules/analytics/sources/contacts.query.ts';
import type { FactSource } from '#src/modules/analytics/sources/define.ts';
import { jobs } from '#src/modules/analytics/sources/jobs.query.ts';
import { messages } from '#src/modules/analytics/sources/messages.query.ts';

const NANO = 1e9;
const MICRO = 1e6;

/** A figure that can be asked for by name. */
export interface Metric {
  source: FactSource;
  /** The place of its measure in what the source adds up, from 0. */
  place: number;
  /** What is stored, for one of what is shown. */
  per: number;
}

function metric<Measure extends string>(
  source: FactSource<string, Measure>,
  measure: NoInfer<Measure>,
  per = 1,
): Metric {
  return { source, place: source.measures.indexOf(measure), per };
}

/** Every metric there is, by name; what each counts is told in docs/analytics.md. */
export const METRICS = {
  'jobs.completed': metric(jobs, 'completed'),
  'jobs.failed': metric(jobs, 'failed'),
  'jobs.cancelled': metric(jobs, 'cancelled'),
  'contacts.created': metric(contacts, 'created'),
  'ai.calls': metric(aiCalls, 'calls'),
  'ai.failures': metric(aiCalls, 'failures'),
  'ai.inputTokens': metric(aiCalls, 'inputTokens'),
  'ai.cachedInputTokens': metric(aiCalls, 'cachedInputTokens'),
  'ai.outputTokens': metric(aiCalls, 'outputTokens'),
  'ai.reasoningTokens': metric(aiCalls, 'reasoningTokens'),
  'ai.costUsd': metric(aiCalls, 'costNano', NANO),
  'ai.ownKeyCostUsd': metric(aiCalls, 'ownKeyCostNano', NANO),
  'ai.credits': metric(aiCalls, 'microCredits', MICRO),
  'messages.inbound': metric(messages, 'inbound'),
  'messages.outbound': metric(messages, 'outbound'),
  'messages.delivered': metric(messages, 'delivered'),
  'messages.read': metric(messages, 'read'),
  'messages.failed': metric(messages, 'failed'),
  'messages.responses': metric(messages, 'responses'),
  'messages.responseSeconds': metric(messages, 'responseSeconds'),
  'deals.created': metric(deals, 'created'),
  'deals.won': metric(deals, 'won'),
  'deals.lost': metric(deals, 'lost'),
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof METRICS;

export const isMetric = (name: string): name is MetricName => Object.hasOwn(METRICS, name);
export const METRIC_NAMES = Object.keys(METRICS).filter(isMetric);

/** A metric's value among the sums of its source's measures; 0 where nothing was counted. */
export function valueOf(name: MetricName, amounts: readonly number[] | undefined): number {
  const { place, per } = METRICS[name];
  return (amounts?.[place] ?? 0) / per;
}
