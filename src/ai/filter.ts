import type { Access } from '#src/ai/access.ts';
import { canBeMadeToCall, canStopAt } from '#src/ai/capabilities.ts';
import type { Candidate, RouterOptions } from '#src/ai/candidates.ts';
import { expectedCostUsd } from '#src/ai/estimates.ts';
import type { Health } from '#src/ai/health.ts';
import type { EngineName, FailureClass, ToolChoice } from '#src/ai/model.ts';

/** What a decision needs to know of one request. */
export interface Ask {
  engine: EngineName;
  /** Of the prompt. */
  inputTokens: number;
  /** Of a repaired prompt: what the price is bounded by. */
  maxInputTokens: number;
  maxOutputTokens: number;
  needsTools: boolean;
  needsSchema: boolean;
  /** What it must call. */
  toolChoice: ToolChoice | undefined;
  /** Where the answer ends; empty: nowhere. */
  stop: readonly string[];
  /** Whether the answer is read as a stream. */
  isStreamed: boolean;
  remainingMs: number;
  options: RouterOptions;
  /** May be used to try what nobody has asked for a while. */
  isLowPriority: boolean;
}

/** Why a target is not asked. */
export type ExclusionCode =
  | 'cannot_do_task'
  | 'no_key'
  | 'provider_not_allowed'
  | 'not_chosen'
  | 'deprecated'
  | 'no_tools'
  | 'no_tool_choice'
  | 'no_stop'
  | 'context_too_small'
  | 'too_expensive'
  | 'breaker_open'
  | 'breaker_probing'
  | 'key_parked'
  | 'rate_limited'
  | 'model_gone';

/** Why a target is asked only when no other can be. */
export type ReserveCode = 'no_json_schema' | 'too_slow' | 'quality_too_low' | 'too_expensive_for_speed';

export interface Exclusion {
  code: ExclusionCode;
  /** When that may be over, by the clock of the health; undefined where waiting does not help. */
  until?: number;
  /** The failure that parked it. */
  reason?: FailureClass;
}

/** The sentence for people that goes with each code. */
export const REASONS: Record<ExclusionCode | ReserveCode, string> = {
  cannot_do_task: 'This provider cannot do the task.',
  no_key: 'There is no key for this provider.',
  provider_not_allowed: 'The workspace does not allow this provider.',
  not_chosen: 'The options name another provider or model.',
  deprecated: 'Its company has switched this model off.',
  no_tools: 'The request has tools, and this model cannot call any.',
  no_tool_choice: 'It cannot be made to call a tool, or the one that is named.',
  no_stop: 'It cannot end its answer at the given texts.',
  context_too_small: 'Input and answer together do not fit into its context window.',
  too_expensive: 'It could cost more than maxCostUsd.',
  breaker_open: 'It failed too often; it is asked again when its pause is over.',
  breaker_probing: 'After a pause one request is trying it out; others wait for how that ends.',
  key_parked: 'Its keys were refused or have no credit left; they are tried again later.',
  rate_limited: 'It limits our requests; it is asked again when the limit is over.',
  model_gone: 'Its company says that there is no such model.',
  no_json_schema: 'It cannot be held to the JSON schema of the answer; it is asked only after those that can.',
  too_slow: 'Nine of ten of its answers would not be whole in time; it is asked only after faster ones.',
  quality_too_low: 'Its quality is below what this task needs; it is asked only after better ones.',
  too_expensive_for_speed: 'It costs more than five times the cheapest; it is asked only after the others.',
};

type Check = (
  candidate: Candidate,
  ask: Ask,
  at: { health: Health; access: Access; today: string },
) => Exclusion | null;

const STATIC: readonly Check[] = [
  ({ facts }, { options }, { today }) =>
    facts.deprecatedOn !== null && facts.deprecatedOn < today && options.model === undefined
      ? { code: 'deprecated' }
      : null,
  ({ facts }, { needsTools }) => (needsTools && !facts.supportsTools ? { code: 'no_tools' } : null),
  ({ facts }, { toolChoice }) =>
    toolChoice !== undefined && !canBeMadeToCall(facts, toolChoice) ? { code: 'no_tool_choice' } : null,
  ({ facts }, { stop }) => (stop.length > 0 && !canStopAt(facts, stop) ? { code: 'no_stop' } : null),
  ({ facts }, { inputTokens, maxOutputTokens }) =>
    inputTokens + Math.min(maxOutputTokens, facts.maxOutputTokens) > facts.contextWindow
      ? { code: 'context_too_small' }
      : null,
  ({ facts }, { maxInputTokens, maxOutputTokens, options: { maxCostUsd } }) =>
    maxCostUsd !== undefined && expectedCostUsd(facts, maxInputTokens, maxOutputTokens) > maxCostUsd
      ? { code: 'too_expensive' }
      : null,
];

const LIVE: readonly Check[] = [
  ({ provider, id }, _, { health }) => {
    const { phase, until, isProbeFree } = health.gate(provider.name, id);
    if (phase === 'open') return { code: 'breaker_open', until };
    return phase === 'half_open' && !isProbeFree ? { code: 'breaker_probing', until } : null;
  },
  ({ provider, model }, _, { access }) => {
    const parked = access.allParked(provider, model);
    if (!parked) return null;
    const { until, reason } = parked;
    const code = reason === 'model_gone' || reason === 'rate_limited' ? reason : 'key_parked';
    return { code, until, reason };
  },
];

/** @returns the first reason not to ask a target for what it is, whatever its state; null when there is none */
export function staticExclusion(...[candidate, ask, at]: Parameters<Check>): Exclusion | null {
  for (const check of STATIC) {
    const found = check(candidate, ask, at);
    if (found) return found;
  }
  return null;
}

/** @returns the first reason not to ask a target now; null when there is none */
export function exclusionOf(...[candidate, ask, at]: Parameters<Check>): Exclusion | null {
  const fixed = staticExclusion(candidate, ask, at);
  if (fixed) return fixed;
  for (const check of LIVE) {
    const found = check(candidate, ask, at);
    if (found) return found;
  }
  return null;
}

/** Every reason not to ask a target now. */
export const exclusionsOf = (...[candidate, ask, at]: Parameters<Check>): Exclusion[] =>
  [...STATIC, ...LIVE].flatMap((check) => check(candidate, ask, at) ?? []);
