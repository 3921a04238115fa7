import type { Access, Entry } from '#src/ai/access.ts';
import { attempt, type AttemptContext, type AttemptRecord, type Outcome, type Timeouts } from '#src/ai/attempt.ts';
import { type Candidate, targetOf } from '#src/ai/candidates.ts';
import type { Decision, Ranked } from '#src/ai/decide.ts';
import type { Estimates, Sample } from '#src/ai/estimates.ts';
import {
  type Failed,
  isMisfit,
  isOver,
  isShownMisfit,
  isTooSmall,
  nothingFits,
  soonestOf,
  whyNoAnswer,
} from '#src/ai/failures.ts';
import type { Ask } from '#src/ai/filter.ts';
import type { Health } from '#src/ai/health.ts';
import type { FailureClass, Message, ProviderError, Strategy } from '#src/ai/model.ts';
import { type RetryBudget, retryWaitMs, RULES } from '#src/ai/retry.ts';
import type { RouterEvents } from '#src/ai/router.ts';

const MAX_ATTEMPTS = 4;
const MAX_PROVIDERS = 3;
const FIRST_CONTENT_MIN_MS = 5000;
const FIRST_CONTENT_MAX_MS = 30_000;
/** A reasoning model thinks before it says anything. */
const REASONING_MAX_MS = 90_000;
/** Of the time left one target may be silent for this share while another could be asked. */
const SILENT_SHARE = 0.6;

/** What all runs of a router share. */
export interface RunResources {
  health: Health;
  estimates: Estimates;
  budget: RetryBudget;
  random: () => number;
  clock: () => number;
  /** Waits; rejects when the signal aborts. */
  sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  log?: { warn(fields: object, message: string): void } | undefined;
  /** A target failed and something else may follow. */
  failedOver?: ((failure: FailureClass) => void) | undefined;
}

/** What one run is about. */
export interface RunOrder<Input, Result> {
  context: Omit<AttemptContext<Input, Result>, 'show' | 'record'>;
  ask: Ask;
  access: Access;
  timeouts: Timeouts;
  deadlineAt: number;
  finalAttempt: boolean;
  /** Whether an answer that does not fit may be sent back. */
  mayRepair: boolean;
  runId: string;
  strategy: Strategy;
  on: RouterEvents | undefined;
}

/** A target whose turn it is. */
type Next = Pick<Ranked, 'candidate' | 'needsProbe'>;

export type Answered<Result> = Extract<Outcome<Result>, { ok: true }> & { candidate: Candidate };

/** One job's way through the targets: a finite machine, each of whose steps is a provider call, of which there are at most four. */
export class Run<Input, Result> {
  text = '';
  readonly attempts: AttemptRecord[] = [];
  readonly failures: Failed[] = [];
  readonly #shared: RunResources;
  readonly #order: RunOrder<Input, Result>;
  readonly #context: AttemptContext<Input, Result>;
  readonly #providers = new Set<string>();
  readonly #retries = new Map<string, number>();
  #calls = 0;
  #mayRepair: boolean;

  constructor(shared: RunResources, order: RunOrder<Input, Result>) {
    this.#shared = shared;
    this.#order = order;
    this.#mayRepair = order.mayRepair;
    this.#context = {
      ...order.context,
      show: (delta) => {
        this.text += delta;
        order.on?.text?.(delta);
      },
      record: (called) => {
        const record = { ...called, strategy: order.strategy };
        this.attempts.push(record);
        order.on?.attempted?.(record);
      },
    };
  }

  /** Follows a decision to an answer. @throws ProviderError, AppError, the signal's reason */
  async answer(decision: Decision, lastResort: Candidate | undefined): Promise<Answered<Result>> {
    const excluded = [...decision.excluded];
    let queue: Next[] = decision.order.length > 0 || lastResort ? decision.order : this.#leastBad(excluded);
    for (;;) {
      const next = this.#next(queue) ?? (await this.#again());
      if (!next) break;
      queue = queue.filter((one) => one !== next);
      const outcome = await this.#askTarget(next, excluded);
      if (outcome?.ok) return { ...outcome, candidate: next.candidate };
      if (outcome) queue = this.#after(next.candidate, outcome.error, queue);
    }
    const { failures, text } = this;
    const all = whyNoAnswer({ failures, text, excluded, hasMore: queue.length > 0, now: this.#shared.health.now() });
    if (lastResort && this.#lastResortIsDue(all)) {
      const [entry] = this.#order.access.entries(lastResort.provider);
      this.#restart();
      this.#order.on?.started?.(targetOf(lastResort));
      const outcome = entry && (await this.#call(lastResort, entry));
      if (outcome?.ok) return { ...outcome, candidate: lastResort };
      if (outcome) all.push({ candidate: lastResort, error: outcome.error });
    }
    throw soonestOf(all) ?? nothingFits(excluded);
  }

  get #remainingMs(): number {
    return Math.max(0, this.#order.deadlineAt - this.#shared.clock());
  }

  /** The next of the queue that the bounds allow. */
  #next(queue: readonly Next[]): Next | undefined {
    if (this.#calls >= MAX_ATTEMPTS || this.#remainingMs === 0) return undefined;
    const isFull = this.#providers.size >= MAX_PROVIDERS;
    return queue.find(({ candidate }) => !isFull || this.#providers.has(candidate.provider.name));
  }

  /** With nobody else left to ask: waits for the failed target that may be asked again soonest. */
  async #again(): Promise<Next | undefined> {
    if (this.#calls >= MAX_ATTEMPTS || this.#remainingMs === 0 || isOver(this.failures) || isMisfit(this.failures))
      return undefined;
    const { random, health, budget, sleep } = this.#shared;
    const latest = new Map(this.failures.map((failed) => [failed.candidate.id, failed]));
    const mendable = [...latest.values()].filter(
      (failed) =>
        !isTooSmall(this.failures, failed) &&
        (failed.error.failure !== 'bad_output' || isShownMisfit(this.failures, this.text)),
    );
    const open = mendable.flatMap(({ candidate, error }) => {
      const tries = this.#retries.get(candidate.id) ?? 0;
      const waitMs = retryWaitMs(error.failure, error.retryAfterMs, tries, this.#remainingMs, random());
      const { phase } = health.gate(candidate.provider.name, candidate.id);
      return waitMs === undefined || phase === 'open' || phase === 'half_open' ? [] : [{ candidate, waitMs, tries }];
    });
    const best = open.toSorted((a, b) => a.waitMs - b.waitMs).find(({ candidate }) => budget.take(candidate.id));
    if (!best) return undefined;
    this.#retries.set(best.candidate.id, best.tries + 1);
    const { signal } = this.#context;
    await sleep(best.waitMs, signal).catch((error: unknown) => {
      throw signal.aborted ? signal.reason : error;
    });
    return { candidate: best.candidate, needsProbe: false };
  }

  /** Asks one target, with one key after the other where another may do better; undefined when it may not be asked any more. */
  async #askTarget({ candidate, needsProbe }: Next, excluded: Decision['excluded']) {
    const { health, budget } = this.#shared;
    const { provider, model, id } = candidate;
    if (needsProbe && !(await health.takeProbe(provider.name, id))) {
      const until = health.gate(provider.name, id).until;
      excluded.push({ candidate, exclusion: { code: 'breaker_probing', until } });
      return undefined;
    }
    const used = new Set<Entry>();
    let outcome: Outcome<Result> | undefined;
    while (this.#calls < MAX_ATTEMPTS && this.#remainingMs > 0) {
      const entry = this.#order.access.draw(provider, model, used, this.#shared.random);
      if (!entry) break;
      if (used.size === 0) {
        this.#restart();
        this.#order.on?.started?.(targetOf(candidate));
      }
      if (!this.#retries.has(id)) budget.called(id);
      this.#providers.add(provider.name);
      outcome = await this.#ask(candidate, entry, used.size > 0);
      if (outcome.ok || !RULES[outcome.error.failure].otherKey) break;
      used.add(entry);
    }
    if (outcome && !outcome.ok) {
      this.failures.push({ candidate, error: outcome.error });
      this.#report(candidate, outcome.error);
    }
    return outcome;
  }

  /** One question to one key; the first answer that does not fit is sent back, with the hint. */
  async #ask(candidate: Candidate, entry: Entry, again: boolean): Promise<Outcome<Result>> {
    this.#restart();
    const first = await this.#call(candidate, entry, [], again);
    if (first.ok || first.hint === undefined || !this.#mayRepair) return first;
    if (this.#calls >= MAX_ATTEMPTS || this.#remainingMs === 0) return first;
    this.#mayRepair = false;
    this.#restart();
    const repair: Message[] = [
      ...(first.answer.trim() ? [{ role: 'assistant' as const, content: first.answer }] : []),
      { role: 'user', content: first.hint },
    ];
    return this.#call(candidate, entry, repair);
  }

  async #call(candidate: Candidate, entry: Entry, extra: Message[] = [], again = false): Promise<Outcome<Result>> {
    const { stats } = candidate;
    const { isStreamed } = this.#order.ask;
    this.#calls += 1;
    stats.inflight += 1;
    try {
      const call = { ...candidate, key: entry.key, isStreamed, timeouts: this.#timeouts(candidate) };
      const outcome = await attempt(call, this.#context, extra);
      this.#tell(candidate, entry, outcome.ok ? undefined : outcome.error, again);
      return outcome;
    } catch (error) {
      this.#tell(candidate, entry, 'cancelled', again);
      throw error;
    } finally {
      stats.inflight -= 1;
    }
  }

  /** The clocks of one call: first content within twice what 99 of 100 need, and within what the queue allows. */
  #timeouts({ stats, facts }: Candidate): Timeouts {
    const { timeouts, ask } = this.#order;
    const { health } = this.#shared;
    const p99 = stats.firstPercentile(ask.isStreamed, ask.inputTokens, 0.99, health.now());
    const most = facts.supportsReasoning ? REASONING_MAX_MS : FIRST_CONTENT_MAX_MS;
    const usual = p99 === undefined ? most : Math.min(most, Math.max(FIRST_CONTENT_MIN_MS, 2 * p99));
    const totalMs = Math.max(1, Math.ceil(this.#remainingMs));
    const mayFailOver = this.#calls < MAX_ATTEMPTS && totalMs > FIRST_CONTENT_MIN_MS;
    const silentMs = mayFailOver ? totalMs * SILENT_SHARE : totalMs;
    return { ...timeouts, totalMs, firstContentMs: Math.ceil(Math.min(timeouts.firstContentMs, usual, silentMs)) };
  }

  /** Everybody learns from the end of a call. */
  #tell(candidate: Candidate, entry: Entry, error: ProviderError | 'cancelled' | undefined, again: boolean): void {
    const record = this.attempts.at(-1);
    const { provider, model, id, stats } = candidate;
    if (!record || provider.name === 'local') return;
    const { health, estimates } = this.#shared;
    const { ask, access, runId } = this.#order;
    const rule = error && error !== 'cancelled' ? RULES[error.failure] : undefined;
    const isFault = rule !== undefined && rule.faultWeight !== null;
    const outcome = error === undefined ? 'success' : isFault ? 'fault' : 'neutral';
    const now = health.now();
    const sample: Sample = {
      id,
      engine: ask.engine,
      isStreamed: ask.isStreamed,
      inputTokens: ask.inputTokens,
      outputTokens: record.usage?.outputTokens ?? 0,
      maxOutputTokens: ask.maxOutputTokens,
      firstMs: record.timeToFirstTokenMs,
      totalMs: record.latencyMs,
      outcome,
    };
    const { firstMs } = sample;
    const isSlow = firstMs !== null && stats.isSlow(ask.isStreamed, ask.inputTokens, firstMs, now);
    const parks =
      error === undefined
        ? access.liftedBy(entry, model)
        : error === 'cancelled'
          ? []
          : access.parksOf(entry, model, error.failure, error.retryAfterMs, again);
    estimates.add(sample, now);
    const weight = rule?.faultWeight ?? 1;
    health.report({ provider: provider.name, model, outcome, weight, isSlow, jobId: runId, parks, sample });
  }

  /** Who is left after a failure, and in which order. */
  #after(candidate: Candidate, { failure }: ProviderError, queue: Next[]): Next[] {
    const { provider, facts } = candidate;
    this.#shared.failedOver?.(failure);
    const isElsewhere = (one: Next) => one.candidate.provider !== provider;
    const { next, parks } = RULES[failure];
    if (next === 'nowhere') return [];
    if (next === 'larger') return queue.filter((one) => one.candidate.facts.contextWindow > facts.contextWindow);
    const others = queue.filter(isElsewhere);
    // Without a key, or with none left, its other models fail alike.
    if (parks?.what === 'key' && !this.#hasKey(candidate)) return others;
    return [...others, ...queue.filter((one) => !isElsewhere(one))];
  }

  #hasKey({ provider, model }: Candidate): boolean {
    return this.#order.access.allParked(provider, model) === undefined;
  }

  /** All breakers are open, no later attempt follows and there are no rules to answer by: the one that closes soonest is asked. */
  #leastBad(excluded: Decision['excluded']): Next[] {
    if (!this.#order.finalAttempt) return [];
    const paused = excluded.filter(({ exclusion: { code } }) => code === 'breaker_open' || code === 'breaker_probing');
    const [best] = paused.toSorted((a, b) => (a.exclusion.until ?? 0) - (b.exclusion.until ?? 0));
    return best ? [{ candidate: best.candidate, needsProbe: false }] : [];
  }

  // Told only when something follows: when all fail, what was shown stays, as the job's partial text.
  #restart(): void {
    const reason = this.attempts.at(-1)?.failure;
    if (this.text === '' || reason === undefined || reason === 'cancelled') return;
    this.text = '';
    this.#order.on?.restarted?.({ reason });
  }

  /** One line for each target that failed; the stack too of what no adapter classified. Never the prompt or the answer. */
  #report(candidate: Candidate, error: ProviderError): void {
    const stack = error.failure === 'transient' && error.cause instanceof Error ? error.cause.stack : undefined;
    const key = this.attempts.at(-1)?.keyId;
    const fields = { engine: this.#order.ask.engine, ...targetOf(candidate), failure: error.failure };
    this.#shared.log?.warn({ ...fields, ...(key && { key }), ...(stack && { stack }) }, 'a provider failed');
  }

  /** Whether the built-in rules may answer now: no model is there, none will be tried again, or none could be mended by a later try. */
  #lastResortIsDue(all: readonly Failed[]): boolean {
    return this.#order.finalAttempt || all.every(({ error }) => error.retry === 'never');
  }
}
