import {
  attempt,
  type AttemptContext,
  type AttemptRecord,
  type Outcome,
  type Timeouts,
  type WithTimers,
} from '#src/ai/attempt.ts';
import {
  type Candidate,
  type Candidates,
  candidatesFor,
  type RouterOptions,
  type Target,
  targetOf,
} from '#src/ai/candidates.ts';
import type { Engine } from '#src/ai/engines/define.ts';
import { estimateTokens } from '#src/ai/tokens.ts';
import type { WorkspaceAi } from '#src/ai/workspace-ai.ts';
import type { FailureClass, FinishReason, Message, Provider, ProviderError, Usage } from '#src/ai/model.ts';

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
  /** Left out where a job belongs to no workspace. */
  workspace?: WorkspaceAi;
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

export interface RouterDependencies {
  /** In order of preference. */
  providers: readonly Provider[];
  withTimers: WithTimers;
  log?: { warn(fields: object, message: string): void };
}

export interface Router {
  /**
   * Answers one job: the first candidate that can, silently before text was shown, with `restarted` after.
   * @throws AppError 400 for an unknown choice, 503 `no_provider_available`; ProviderError when all failed, the one that allows the soonest
   * retry; the signal's reason when it aborted.
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
}

const HINT_TOKENS = 300;
// The input itself was refused: another model would be asked the same, and a refusal must not be shopped around.
const ENDS_MODELS: ReadonlySet<FailureClass> = new Set(['caller_fault', 'content_refused']);

function outputBound<Input, Result>(engine: Engine<Input, Result>, input: Input, options: RouterOptions): number {
  return Math.min(engine.maxOutputTokens(input), options.maxOutputTokens ?? Infinity);
}

function bounded<Input, Result>(engine: Engine<Input, Result>, input: Input, options: RouterOptions) {
  return {
    ...engine.ask(input),
    maxOutputTokens: outputBound(engine, input, options),
    task: { engine: engine.name, input },
  };
}

/** A run's memory: what was shown, what was tried. */
interface Run<Input, Result> {
  context: AttemptContext<Input, Result>;
  text: string;
  attempts: AttemptRecord[];
  failures: { candidate: Candidate; error: ProviderError }[];
}

function openRun<Input, Result>(
  { withTimers }: RouterDependencies,
  engine: Engine<Input, Result>,
  input: Input,
  options: RouterOptions,
  { signal, timeouts, on }: RunControls,
): Run<Input, Result> {
  const deadline = performance.now() + timeouts.totalMs;
  const run: Run<Input, Result> = {
    text: '',
    attempts: [],
    failures: [],
    context: {
      engine,
      input,
      request: bounded(engine, input, options),
      signal,
      timeouts,
      remainingMs: () => Math.max(0, deadline - performance.now()),
      withTimers,
      show: (delta) => {
        run.text += delta;
        on?.text?.(delta);
      },
      record: (record) => {
        run.attempts.push(record);
        on?.attempted?.(record);
      },
    },
  };
  return run;
}

/** Asks one candidate; an answer that does not fit is sent back to it once, with the hint. */
async function ask<Input, Result>(
  run: Run<Input, Result>,
  candidate: Candidate,
  on: RouterEvents | undefined,
): Promise<Outcome<Result>> {
  restart(run, on);
  on?.started?.(targetOf(candidate));
  const first = await attempt(candidate, run.context);
  if (first.ok || first.hint === undefined || candidate.provider.name === 'local' || run.context.remainingMs() === 0)
    return first;
  restart(run, on);
  const repair: Message[] = [
    ...(first.answer.trim() ? [{ role: 'assistant' as const, content: first.answer }] : []),
    { role: 'user', content: first.hint },
  ];
  return attempt(candidate, run.context, repair);
}

// Told only when something follows: when all fail, what was shown stays, as the job's partial text.
function restart<Input, Result>(run: Run<Input, Result>, on: RouterEvents | undefined): void {
  const reason = run.attempts.at(-1)?.failure;
  if (run.text === '' || reason === undefined || reason === 'cancelled') return;
  run.text = '';
  on?.restarted?.({ reason });
}

/** One line for each candidate that failed; the stack too of what no adapter classified. Never the prompt or the answer. */
function report(log: RouterDependencies['log'], engine: string, candidate: Candidate, error: ProviderError): void {
  const stack = error.failure === 'transient' && error.cause instanceof Error ? error.cause.stack : undefined;
  log?.warn({ engine, ...targetOf(candidate), failure: error.failure, ...(stack && { stack }) }, 'a provider failed');
}

/** Whether the built-in rules may answer now: no model is there, none will be tried again, or none could be mended by a later try. */
function lastResortIsDue(run: { failures: { error: ProviderError }[] }, finalAttempt: boolean): boolean {
  return finalAttempt || run.failures.every(({ error }) => error.retry === 'never');
}

function waitOf({ retry, retryAfterMs }: ProviderError): number {
  return retry === 'never' ? Number.MAX_SAFE_INTEGER : (retryAfterMs ?? 0);
}

function attemptsUsedBy({ retry }: ProviderError): number {
  return retry === 'delay' ? 0 : 1;
}

/** Of all failures the one that can be tried again soonest; of equals one that uses up no attempt of the job. */
function soonest(failures: { error: ProviderError }[]): ProviderError | undefined {
  return failures
    .map(({ error }) => error)
    .toSorted((a, b) => waitOf(a) - waitOf(b) || attemptsUsedBy(a) - attemptsUsedBy(b))[0];
}

function inOrder({ models, lastResort }: Candidates): Candidate[] {
  return models.length > 0 || !lastResort ? models : [lastResort];
}

/** Opens the router over the configured providers. It keeps no state between runs. */
export function createRouter(dependencies: RouterDependencies): Router {
  const { providers, log } = dependencies;
  return {
    worstCase(engine, input, options) {
      const maxOutputTokens = outputBound(engine, input, options);
      const candidates = inOrder(candidatesFor(providers, engine.name, options)).map(targetOf);
      const askedTokens = estimateTokens(JSON.stringify(input)) + engine.promptTokens;
      return { candidates, maxOutputTokens, inputTokens: askedTokens + maxOutputTokens + HINT_TOKENS };
    },
    async run(engine, input, options, controls) {
      const { signal, finalAttempt, on } = controls;
      signal.throwIfAborted();
      const startedAt = performance.now();
      const candidates = candidatesFor(providers, engine.name, options);
      const run = openRun(dependencies, engine, input, options, controls);
      const queue = inOrder(candidates);
      for (let candidate = queue.shift(); candidate; candidate = queue.shift()) {
        const outcome = await ask(run, candidate, on);
        if (outcome.ok) {
          return {
            result: outcome.result,
            text: run.text,
            ...targetOf(candidate),
            usage: outcome.usage,
            finishReason: outcome.finishReason,
            fallbacks: run.failures.map((failed) => ({ ...targetOf(failed.candidate), reason: failed.error.failure })),
            attempts: run.attempts,
            timeToFirstTokenMs: outcome.firstContentAt === null ? null : Math.round(outcome.firstContentAt - startedAt),
            degraded: candidate.provider.name === 'local',
          };
        }
        run.failures.push({ candidate, error: outcome.error });
        report(log, engine.name, candidate, outcome.error);
        if (ENDS_MODELS.has(outcome.error.failure) || run.context.remainingMs() === 0) queue.length = 0;
        const { lastResort } = candidates;
        if (queue.length === 0 && lastResort && candidate !== lastResort && lastResortIsDue(run, finalAttempt))
          queue.push(lastResort);
      }
      throw soonest(run.failures) ?? new Error('a run without candidates');
    },
  };
}
