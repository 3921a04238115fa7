import { randomUUID } from 'node:crypto';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { Access } from '#src/ai/access.ts';
import type { AttemptRecord, Timeouts, WithTimers } from '#src/ai/attempt.ts';
import {
  type Candidate,
  candidatesFor,
  openCandidates,
  type RouterOptions,
  type Target,
  targetOf,
} from '#src/ai/candidates.ts';
import type { Phase } from '#src/ai/circuit-breaker.ts';
import { decide, type DecisionContext, defaultStrategy, possible } from '#src/ai/decide.ts';
import type { Engine } from '#src/ai/engines/define.ts';
import { Estimates } from '#src/ai/estimates.ts';
import { explain, type Explanation, type ProviderStatus, statusOf } from '#src/ai/explain.ts';
import type { Ask } from '#src/ai/filter.ts';
import { type Health, MemoryHealth } from '#src/ai/health.ts';
import type { ChatRequest, FailureClass, FinishReason, Provider, Strategy, Usage } from '#src/ai/model.ts';
import type { CostLimits } from '#src/ai/meter.ts';
import { RetryBudget } from '#src/ai/retry.ts';
import { fallbacksOf, nothingFits } from '#src/ai/failures.ts';
import { Run, type RunResources } from '#src/ai/run.ts';
import { estimateRequestTokens, estimateTokens } from '#src/ai/tokens.ts';
import { Protection } from '#src/ai/pii/protect.ts';
import type { Moderate } from '#src/ai/safety/moderation.ts';
import type { WorkspaceAi } from '#src/ai/workspace-ai.ts';

/** Told while a job runs. Plain synchronous calls: the token loop waits for nobody. What one throws ends the run. */
export interface RouterEvents {
  /** A candidate is asked. */
  started?: (target: Target) => void;
  /** Text to show; all since the last `restarted`, joined, is the streamed text. */
  text?: (delta: string) => void;
  /** The text shown so far is void; the next starts from nothing. */
  restarted?: (event: { reason: FailureClass }) => void;
  /** A provider call ended; comes also for the calls of a run that throws. */
  attempted?: (attempt: AttemptRecord) => void;
}

export interface RunControls {
  signal: AbortSignal;
  /** `totalMs` bounds the whole run, fallbacks and repairs included. */
  timeouts: Timeouts;
  /** The job gets no further try: rather a degraded answer than none. */
  finalAttempt: boolean;
  /** An attempt of the job failed before: an answer that does not fit is not sent back once more. */
  isRetry?: boolean;
  /** Left out where a job belongs to no workspace. */
  workspace?: WorkspaceAi;
  /** What each call may cost. */
  costLimits?: CostLimits;
  on?: RouterEvents;
}

/** The answer to a job, and how it came about. */
export interface RunResult<Result> {
  result: Result;
  /** All shown text since the last restart. */
  text: string;
  provider: Target['provider'];
  model: string;
  /** Of the call that answered. */
  usage: Usage;
  finishReason: FinishReason;
  /** The candidates that failed before, in order. */
  fallbacks: (Target & { reason: FailureClass })[];
  /** Every provider call in order, the one that answered last. */
  attempts: AttemptRecord[];
  /** From the start of the run to the first content of the call that answered; null where it had none. */
  timeToFirstTokenMs: number | null;
  /** Answered by the built-in rules, not by a model. */
  degraded: boolean;
}

/** What a job can cost at most, for the hold on the workspace's credits. */
export interface WorstCase {
  candidates: Target[];
  maxOutputTokens: number;
  /** Of a repaired answer, whose input also has the first answer and the hint. */
  inputTokens: number;
}

/** What an operator watches. */
export interface RouterObserver {
  /** Milliseconds a decision took, with the look at the shared health. */
  decided(ms: number): void;
  breaker(target: Target, phase: Phase): void;
  failedOver(failure: FailureClass): void;
}

export interface RouterDependencies {
  /** In order of preference. */
  providers: readonly Provider[];
  withTimers: WithTimers;
  log?: { warn(fields: object, message: string): void };
  /** Of jobs that name none; left out, `defaultStrategy`. */
  strategy?: Strategy | undefined;
  /** Left out, breakers and parked keys are this process's own. */
  health?: Health;
  /** What calls have shown; left out, what this router sees. */
  estimates?: Estimates;
  observer?: RouterObserver;
  /** Asked for workspaces that want it; left out, nothing is moderated. */
  moderate?: Moderate | undefined;
  /** Milliseconds since the epoch; only `MemoryHealth` made here and the times of calls use it. */
  clock?: () => number;
  random?: () => number;
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface Router {
  /**
   * Answers one job by the strategy's best target, failing over silently before text was shown, with `restarted` after.
   * @throws AppError 400 for an unknown choice, 422 `no_model_fits`, 503 `no_provider_available`; ProviderError when all failed or are
   * paused, the one that allows the soonest retry; the signal's reason when it aborted.
   */
  run<Input, Result>(
    engine: Engine<Input, Result>,
    input: Input,
    options: RouterOptions,
    controls: RunControls,
  ): Promise<RunResult<Result>>;
  /** Who might answer and the token bounds of the answer. @throws as `run` for choices that cannot be met. */
  worstCase<Input, Result>(
    engine: Engine<Input, Result>,
    input: Input,
    options: RouterOptions,
    workspace?: WorkspaceAi,
  ): WorstCase;
  /** What `run` would do now, target by target; nobody is asked. @throws as `run` for choices that cannot be met. */
  explain<Input, Result>(
    engine: Engine<Input, Result>,
    input: Input,
    options: RouterOptions,
    workspace?: WorkspaceAi,
  ): Promise<Explanation>;
  /** Each provider's state, with the installation's keys. */
  status(): Promise<ProviderStatus[]>;
}

const HINT_TOKENS = 300;

function outputBound<Input, Result>(engine: Engine<Input, Result>, input: Input, options: RouterOptions): number {
  return Math.min(engine.maxOutputTokens(input), options.maxOutputTokens ?? Infinity);
}

/** Of a repaired answer, whose input also has the first answer and the hint. */
function inputBound<Input, Result>(engine: Engine<Input, Result>, input: Input, maxOutputTokens: number): number {
  return estimateTokens(JSON.stringify(input)) + engine.promptTokens + maxOutputTokens + HINT_TOKENS;
}

function askOf<Input, Result>(
  engine: Engine<Input, Result>,
  input: Input,
  options: RouterOptions,
  request: Pick<Ask, 'needsTools' | 'needsSchema' | 'toolChoice' | 'stop'> & { tokens: number },
  remainingMs: number,
): Ask {
  const maxOutputTokens = outputBound(engine, input, options);
  const isLowBand = engine.band === 'low' || engine.band === 'bulk';
  return {
    engine: engine.name,
    inputTokens: request.tokens,
    maxInputTokens: options.maxCostUsd === undefined ? 0 : inputBound(engine, input, maxOutputTokens),
    maxOutputTokens,
    needsTools: request.needsTools,
    needsSchema: request.needsSchema,
    toolChoice: request.toolChoice,
    stop: request.stop,
    isStreamed: engine.streams,
    remainingMs,
    options,
    isLowPriority: options.priority === undefined ? isLowBand : options.priority === 'batch',
  };
}

const processClock = (): number => performance.timeOrigin + performance.now();

async function processSleep(ms: number, signal: AbortSignal): Promise<void> {
  await sleepFor(ms, undefined, { signal });
}

/** Opens the router over the configured providers. What it learns is kept in `health` and `estimates`. */
export function createRouter(dependencies: RouterDependencies): Router {
  const { providers, withTimers, observer, random = Math.random, clock = processClock } = dependencies;
  const { health = new MemoryHealth(clock, random), estimates = new Estimates() } = dependencies;
  const current = openCandidates(providers, estimates);
  const shared: RunResources = {
    health,
    estimates,
    budget: new RetryBudget(),
    random,
    clock,
    sleep: dependencies.sleep ?? processSleep,
    log: dependencies.log,
    failedOver: (failure) => observer?.failedOver(failure),
  };
  const phases = new Map<string, Phase>();

  const prepared = (engine: Engine, options: RouterOptions, workspace: WorkspaceAi | undefined) => {
    const all = current();
    const candidates = candidatesFor(all, engine.name, options, workspace);
    const strategy = options.strategy ?? dependencies.strategy ?? defaultStrategy(candidates.models);
    const context: DecisionContext = { health, estimates, access: new Access(health, workspace), random, strategy };
    return { all, candidates, context };
  };
  /** One look at the shared health for all targets of a decision. */
  const refresh = async (models: readonly Candidate[], access: Access): Promise<void> => {
    const names: string[] = models.map(({ id }) => id);
    const scopes: string[] = [];
    let last: Provider | undefined;
    // The models of one provider stand together.
    for (const { provider } of models) {
      if (provider === last) continue;
      last = provider;
      names.push(provider.name);
      scopes.push(...access.scopes(provider));
    }
    const looking = health.refresh(names, scopes);
    if (looking) await looking;
    if (!observer) return;
    for (const candidate of models) {
      const { phase } = health.gate(candidate.provider.name, candidate.id);
      if (phases.get(candidate.id) === phase) continue;
      phases.set(candidate.id, phase);
      observer.breaker(targetOf(candidate), phase);
    }
  };

  return {
    worstCase(engine, input, options, workspace) {
      const { candidates, context } = prepared(engine, options, workspace);
      const maxOutputTokens = outputBound(engine, input, options);
      const inputTokens = inputBound(engine, input, maxOutputTokens);
      // The prompt is not written yet: what only it can tell is asked when the job runs.
      const tokens = inputTokens - maxOutputTokens - HINT_TOKENS;
      const ask = askOf(engine, input, options, { tokens, ...UNWRITTEN }, Infinity);
      const models = possible(candidates.models, ask, context);
      const { lastResort } = candidates;
      if (models.length === 0 && !lastResort) throw nothingFits(decide(candidates, ask, context).excluded);
      return {
        candidates: (models.length > 0 || !lastResort ? models : [lastResort]).map(targetOf),
        maxOutputTokens,
        inputTokens,
      };
    },
    async run(engine, input, options, controls) {
      const { signal, timeouts, finalAttempt, isRetry = false, workspace, costLimits, on } = controls;
      const totalMs = Math.min(timeouts.totalMs, options.timeoutMs ?? Infinity);
      signal.throwIfAborted();
      const startedAt = clock();
      const { candidates, context } = prepared(engine, options, workspace);
      const request = {
        ...engine.ask(input),
        maxOutputTokens: outputBound(engine, input, options),
        task: { engine: engine.name, input },
      };
      const protection = new Protection({
        privacy: workspace?.privacy,
        safety: workspace?.safety,
        moderate: dependencies.moderate,
        moderationKey: workspace?.keys.openai?.[0],
        note: (note) => dependencies.log?.warn({ engine: engine.name, ...note }, 'the texts of a job are suspicious'),
      });
      await protection.check(request, signal);
      const ask = askOf(engine, input, options, shapeOf(request), totalMs);
      const looking = performance.now();
      await refresh(candidates.models, context.access);
      signal.throwIfAborted();
      const decision = decide(candidates, ask, context);
      observer?.decided(performance.now() - looking);
      const run = new Run(shared, {
        context: { engine, input, request, signal, protection, withTimers, clock, costLimits },
        ask,
        access: context.access,
        timeouts,
        deadlineAt: startedAt + totalMs,
        finalAttempt,
        mayRepair: !isRetry,
        runId: randomUUID().slice(0, 8),
        strategy: context.strategy,
        on,
      });
      const { candidate, firstContentAt, ...answered } = await run.answer(decision, candidates.lastResort);
      return {
        result: answered.result,
        text: run.text,
        ...targetOf(candidate),
        usage: answered.usage,
        finishReason: answered.finishReason,
        fallbacks: fallbacksOf(run.failures, candidate),
        attempts: run.attempts,
        timeToFirstTokenMs: firstContentAt === null ? null : Math.round(firstContentAt - startedAt),
        degraded: candidate.provider.name === 'local',
      };
    },
    async explain(engine, input, options, workspace) {
      const { all, candidates, context } = prepared(engine, options, workspace);
      await refresh(all, context.access);
      const ask = askOf(engine, input, options, shapeOf(engine.ask(input)), options.timeoutMs ?? Infinity);
      return explain(all, candidates, ask, context, workspace);
    },
    async status() {
      const access = new Access(health, undefined);
      const all = current();
      await refresh(all, access);
      return providers.map((provider) => statusOf(provider, all, { health, access }));
    },
  };
}

/** Of a request that is not written yet. */
const UNWRITTEN = { needsTools: false, needsSchema: false, toolChoice: undefined, stop: [] };

function shapeOf(request: Pick<ChatRequest, 'messages' | 'tools' | 'responseSchema' | 'toolChoice' | 'stop'>) {
  return {
    tokens: estimateRequestTokens(request),
    needsTools: (request.tools?.length ?? 0) > 0,
    needsSchema: request.responseSchema !== undefined,
    toolChoice: request.toolChoice,
    stop: request.stop ?? [],
  };
}
