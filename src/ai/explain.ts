import type { Access } from '#src/ai/access.ts';
import { type Candidate, type Candidates, keysFor, type Target, targetOf } from '#src/ai/candidates.ts';
import type { Phase } from '#src/ai/circuit-breaker.ts';
import { dayOf, decide, type DecisionContext } from '#src/ai/decide.ts';
import { type Ask, type ExclusionCode, exclusionsOf, REASONS, type ReserveCode } from '#src/ai/filter.ts';
import type { Health } from '#src/ai/health.ts';
import type { Provider, ProviderName, Strategy } from '#src/ai/model.ts';
import type { WorkspaceAi } from '#src/ai/workspace-ai.ts';

export interface ExplainedReason {
  code: ExclusionCode | ReserveCode;
  message: string;
  /** Milliseconds until it may be over; null where waiting does not help. */
  retryAfterMs: number | null;
}

/** One target as a decision sees it. */
export interface ExplainedTarget extends Target {
  included: boolean;
  /** From 1, as it is asked; null where it is not. */
  order: number | null;
  reasons: ExplainedReason[];
  breaker: Phase;
  /** Lower is better; null where it is not included. */
  score: number | null;
  estimates: {
    firstContentMs: number;
    latencyMs: number;
    outputTokens: number;
    costUsd: number;
    success: number;
    quality: number;
  } | null;
}

export interface Explanation {
  strategy: Strategy;
  inputTokens: number;
  maxOutputTokens: number;
  /** Who would be asked first; null when nobody can be now. */
  chosen: Target | null;
  /** Who answers when no model can. */
  lastResort: Target | null;
  targets: ExplainedTarget[];
}

/** Why a target is not even a candidate. */
function strangerCode({ provider }: Candidate, ask: Ask, workspace: WorkspaceAi | undefined): ExclusionCode {
  if (!provider.supports(ask.engine)) return 'cannot_do_task';
  const allowed = workspace?.allowedProviders;
  if (allowed && provider.name !== 'local' && !allowed.includes(provider.name)) return 'provider_not_allowed';
  return provider.needsKey && keysFor(provider, workspace).length === 0 ? 'no_key' : 'not_chosen';
}

/** Takes one decision and shows all of it. The draw among equals may fall otherwise for the next job. */
export function explain(
  all: readonly Candidate[],
  candidates: Candidates,
  ask: Ask,
  context: DecisionContext,
  workspace: WorkspaceAi | undefined,
): Explanation {
  const { health, access } = context;
  const now = health.now();
  const at = { health, access, today: dayOf(now) };
  const decision = decide(candidates, ask, context);
  const reason = (code: ExclusionCode | ReserveCode, until?: number): ExplainedReason => ({
    code,
    message: REASONS[code],
    retryAfterMs: until === undefined ? null : Math.max(0, Math.ceil(until - now)),
  });
  const reasonsOf = (candidate: Candidate): ExplainedReason[] => {
    const order = decision.order.find((one) => one.candidate === candidate);
    if (order) return order.reserve ? [reason(order.reserve)] : [];
    if (!candidates.models.includes(candidate)) return [reason(strangerCode(candidate, ask, workspace))];
    return exclusionsOf(candidate, ask, at).map(({ code, until }) => reason(code, until));
  };
  const targets = all
    .filter((candidate) => candidate !== candidates.lastResort)
    .map((candidate): ExplainedTarget => {
      const position = decision.order.findIndex((one) => one.candidate === candidate);
      const ranked = decision.order[position];
      return {
        ...targetOf(candidate),
        included: ranked !== undefined,
        order: ranked ? position + 1 : null,
        reasons: reasonsOf(candidate),
        breaker: health.gate(candidate.provider.name, candidate.id).phase,
        score: ranked ? ranked.score : null,
        estimates: ranked
          ? {
              firstContentMs: ranked.estimate.firstMs,
              latencyMs: ranked.estimate.latencyMs,
              outputTokens: ranked.estimate.outputTokens,
              costUsd: ranked.estimate.costUsd,
              success: ranked.estimate.success,
              quality: ranked.estimate.quality,
            }
          : null,
      };
    });
  const [first] = decision.order;
  return {
    strategy: decision.strategy,
    inputTokens: ask.inputTokens,
    maxOutputTokens: ask.maxOutputTokens,
    chosen: first ? targetOf(first.candidate) : null,
    lastResort: candidates.lastResort ? targetOf(candidates.lastResort) : null,
    targets: targets.toSorted((a, b) => (a.order ?? Infinity) - (b.order ?? Infinity)),
  };
}

/** A provider as its operator sees it. */
export interface ProviderStatus {
  name: ProviderName;
  /** `no_key`: only workspaces with keys of their own can ask it. `down`: none of its models may be asked now. */
  status: 'up' | 'degraded' | 'down' | 'no_key';
  /** Of the provider as a whole: open when three of its models are. */
  breaker: Phase;
  /** `p50LatencyMs`: to the first content; null where too little is known. */
  models: { name: string; breaker: Phase; p50LatencyMs: number | null }[];
}

/** The state of one provider, by its breakers and the installation's keys. */
export function statusOf(
  provider: Provider,
  all: readonly Candidate[],
  { health, access }: { health: Health; access: Access },
): ProviderStatus {
  const now = health.now();
  const own = all.filter((one) => one.provider === provider);
  const isAskable = ({ id, model }: Candidate) =>
    health.gate(provider.name, id).phase !== 'open' && access.allParked(provider, model) === undefined;
  const askable = own.filter(isAskable).length;
  const hasKey = !provider.needsKey || provider.keys.length > 0;
  return {
    name: provider.name,
    status: !hasKey ? 'no_key' : askable === 0 ? 'down' : askable < own.length ? 'degraded' : 'up',
    breaker: health.gate(provider.name, provider.name).phase,
    models: own.map(({ id, model, stats }) => {
      const p50 = stats.anyPercentile(0.5, now);
      return {
        name: model,
        breaker: health.gate(provider.name, id).phase,
        p50LatencyMs: p50 === undefined ? null : Math.round(p50),
      };
    }),
  };
}
