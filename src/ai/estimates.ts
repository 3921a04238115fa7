import type { ModelFacts } from '#src/ai/catalog.ts';
import type { EngineName } from '#src/ai/model.ts';
import { SlidingHistogram } from '#src/ai/histogram.ts';

/** What one provider call showed; what all processes learn from. Times in milliseconds. */
export interface Sample {
  /** `provider/model`. */
  id: string;
  engine: EngineName;
  /** Whether the time to the first content could be seen; else the answer came whole. */
  isStreamed: boolean;
  inputTokens: number;
  outputTokens: number;
  /** The bound the answer had. */
  maxOutputTokens: number;
  /** To the first content; of an answer that came whole, to its end. Null where no content came. */
  firstMs: number | null;
  totalMs: number;
  /** `neutral`: it says nothing about the provider's health. */
  outcome: 'success' | 'fault' | 'neutral';
}

/** What a target is expected to do with one request. */
export interface Expectation {
  /** Milliseconds to the first content. */
  firstMs: number;
  outputTokens: number;
  /** Milliseconds, with the time of failures folded in. */
  latencyMs: number;
  /** USD, with the cost of failures folded in. */
  costUsd: number;
  /** 0..1. */
  success: number;
}

const FAST_TAU_MS = 10_000;
const SLOW_TAU_MS = 60_000;
const SUCCESS_HALF_LIFE_MS = 60_000;
const PRIOR = { successes: 9, failures: 1 };
const PRIOR_FAIL_MS = 2000;
/** Of its bound an answer uses about this much, until we know. */
const PRIOR_SHARE = 0.4;
/** What was seen longer ago is worth ever less, so that a target once slow is asked again. */
const FORGET_AFTER_MS = 60_000;
/** Streamed text is read while it is made, so only a part of the rest counts. */
const STREAMED_SHARE = 0.2;

/**
 * A mean that follows time, not counts: `x ← x + (1 − e^(−Δt/τ))(s − x)`. It follows a slow-down within seconds (τ 10 s) and trusts an
 * improvement slowly (τ 60 s).
 */
class DecayedMean {
  #value: number | undefined;
  #at = 0;
  readonly #prior: number;

  constructor(prior: number) {
    this.#prior = prior;
  }

  add(sample: number, now: number): void {
    if (this.#value === undefined) this.#value = sample;
    else {
      const tau = sample > this.#value ? FAST_TAU_MS : SLOW_TAU_MS;
      // Samples of one moment would else count for nothing.
      const elapsed = Math.max(now - this.#at, 100);
      this.#value += (1 - Math.exp(-elapsed / tau)) * (sample - this.#value);
    }
    this.#at = now;
  }

  get(now: number): number {
    if (this.#value === undefined) return this.#prior;
    const age = now - this.#at - FORGET_AFTER_MS;
    return age <= 0 ? this.#value : this.#prior + (this.#value - this.#prior) * Math.exp(-age / SLOW_TAU_MS);
  }

  get isEmpty(): boolean {
    return this.#value === undefined;
  }
}

/** Times of one kind of request at one target. */
class Cell {
  readonly first: DecayedMean;
  readonly perToken: DecayedMean;
  readonly times = new SlidingHistogram();

  constructor(facts: ModelFacts) {
    const isOurs = facts.provider === 'local';
    this.first = new DecayedMean(isOurs ? 5 : facts.supportsReasoning ? 1500 : 800);
    this.perToken = new DecayedMean(isOurs ? 0.01 : facts.provider === 'ollama' ? 30 : 15);
  }
}

const INPUT_STEPS = [1000, 8000, 32_000];
const CELLS = INPUT_STEPS.length + 1;
const cellOf = (isStreamed: boolean, inputTokens: number): number => {
  let step = 0;
  for (const bound of INPUT_STEPS) if (inputTokens > bound) step += 1;
  return (isStreamed ? 0 : CELLS + 1) + step;
};
/** All input sizes together: for a size not seen yet. */
const allOf = (isStreamed: boolean): number => (isStreamed ? CELLS : 2 * CELLS + 1);

/** What is known of one target from its calls. */
export class TargetStats {
  readonly facts: ModelFacts;
  /** Calls of this process that are under way. */
  inflight = 0;
  /** When a call of any process last ended; −∞: never. */
  sampledAt = -Infinity;
  readonly #cells: (Cell | undefined)[] = [];
  readonly #empty: Cell;
  readonly #failMs = new DecayedMean(PRIOR_FAIL_MS);
  #successes = PRIOR.successes;
  #failures = PRIOR.failures;
  #countedAt = 0;

  constructor(facts: ModelFacts) {
    this.facts = facts;
    this.#empty = new Cell(facts);
  }

  add(sample: Sample, now: number): void {
    this.sampledAt = now;
    if (sample.outcome !== 'neutral') {
      this.#decay(now);
      if (sample.outcome === 'success') this.#successes += 1;
      else this.#failures += 1;
      if (sample.outcome === 'fault') this.#failMs.add(sample.totalMs, now);
    }
    if (sample.firstMs === null || sample.outcome === 'neutral') return;
    for (const at of [cellOf(sample.isStreamed, sample.inputTokens), allOf(sample.isStreamed)]) {
      const cell = (this.#cells[at] ??= new Cell(this.facts));
      cell.times.add(sample.firstMs, now);
      if (sample.isStreamed) addStreamed(cell, sample, now);
      else if (sample.outcome === 'success') addWhole(cell, sample, now);
    }
  }

  /**
   * Expected times, cost and success of a request (`L′ = L + (1−s)/s · t_fail`, `C′ = C/s`), by what was seen of requests like it.
   * Writes into `into`, so that a decision over many targets makes no garbage.
   */
  expect(isStreamed: boolean, inputTokens: number, outputTokens: number, now: number, into: Expectation): Expectation {
    const cell = this.#cell(isStreamed, inputTokens);
    const success = this.success(now);
    const failed = (1 - success) / success;
    const firstMs = cell.first.get(now);
    const restMs = outputTokens * cell.perToken.get(now);
    into.firstMs = firstMs;
    into.outputTokens = outputTokens;
    into.success = success;
    into.latencyMs = firstMs + (isStreamed ? STREAMED_SHARE : 1) * restMs + failed * this.#failMs.get(now);
    into.costUsd = expectedCostUsd(this.facts, inputTokens, outputTokens) / success;
    return into;
  }

  /** @returns the decayed share of calls that did not fail; 0.9 of a target nobody knows */
  success(now: number): number {
    const keep = 2 ** (-Math.max(0, now - this.#countedAt) / SUCCESS_HALF_LIFE_MS);
    const successes = PRIOR.successes + (this.#successes - PRIOR.successes) * keep;
    const failures = PRIOR.failures + (this.#failures - PRIOR.failures) * keep;
    return successes / (successes + failures);
  }

  /** @returns a quantile of the time to the first content in milliseconds; undefined where too little is known */
  firstPercentile(isStreamed: boolean, inputTokens: number, share: number, now: number): number | undefined {
    return this.#cell(isStreamed, inputTokens).times.percentile(share, now);
  }

  /** @returns whether a time to the first content is more than three times what is usual */
  isSlow(isStreamed: boolean, inputTokens: number, firstMs: number, now: number): boolean {
    const usual = this.#cell(isStreamed, inputTokens).times.usual95(now);
    return usual !== undefined && firstMs > 3 * usual;
  }

  /** @returns 9 of 10 answers are whole after this many milliseconds; undefined where too little is known */
  whole90(isStreamed: boolean, inputTokens: number, outputTokens: number, now: number): number | undefined {
    const first = this.firstPercentile(isStreamed, inputTokens, 0.9, now);
    if (first === undefined || !isStreamed) return first;
    return first + outputTokens * this.#cell(isStreamed, inputTokens).perToken.get(now);
  }

  /** @returns a quantile over requests of all sizes, streamed where such are known */
  anyPercentile(share: number, now: number): number | undefined {
    return (this.#cells[allOf(true)] ?? this.#cells[allOf(false)])?.times.percentile(share, now);
  }

  #cell(isStreamed: boolean, inputTokens: number): Cell {
    return this.#cells[cellOf(isStreamed, inputTokens)] ?? this.#cells[allOf(isStreamed)] ?? this.#empty;
  }

  #decay(now: number): void {
    const keep = 2 ** (-Math.max(0, now - this.#countedAt) / SUCCESS_HALF_LIFE_MS);
    this.#successes = PRIOR.successes + (this.#successes - PRIOR.successes) * keep;
    this.#failures = PRIOR.failures + (this.#failures - PRIOR.failures) * keep;
    this.#countedAt = now;
  }
}

function addStreamed(cell: Cell, sample: Sample, now: number): void {
  const { firstMs, totalMs, outputTokens } = sample;
  if (firstMs === null) return;
  cell.first.add(firstMs, now);
  if (sample.outcome === 'success' && outputTokens > 1) cell.perToken.add((totalMs - firstMs) / outputTokens, now);
}

/** Of a whole answer only the sum is seen: both parts are stretched alike. */
function addWhole(cell: Cell, { totalMs, outputTokens }: Sample, now: number): void {
  const firstMs = cell.first.get(now);
  const perTokenMs = cell.perToken.get(now);
  const stretch = totalMs / (firstMs + outputTokens * perTokenMs);
  cell.first.add(firstMs * stretch, now);
  cell.perToken.add(perTokenMs * stretch, now);
}

/** USD of a call with these tokens, nothing read from a cache; the dearer prices of a long input included. */
export function expectedCostUsd(facts: ModelFacts, inputTokens: number, outputTokens: number): number {
  const { longContext } = facts;
  const isLong = longContext !== null && inputTokens > longContext.aboveInputTokens;
  const input = isLong ? longContext.inputUsdPerMtok : facts.inputUsdPerMtok;
  const output = isLong ? (longContext.outputUsdPerMtok ?? facts.outputUsdPerMtok) : facts.outputUsdPerMtok;
  return (inputTokens * input + outputTokens * output) / 1e6;
}

/** What all targets' calls have shown, and how much of its bound each engine's answer uses. */
export class Estimates {
  readonly #targets = new Map<string, TargetStats>();
  readonly #shares = new Map<EngineName, DecayedMean>();

  /** The target's statistics; made at its first mention. */
  of(id: string, facts: ModelFacts): TargetStats {
    let found = this.#targets.get(id);
    if (!found) this.#targets.set(id, (found = new TargetStats(facts)));
    return found;
  }

  /** A sample of a target that is not configured here is dropped. */
  add(sample: Sample, now: number): void {
    this.#targets.get(sample.id)?.add(sample, now);
    if (sample.outcome !== 'success' || sample.maxOutputTokens <= 0) return;
    let share = this.#shares.get(sample.engine);
    if (!share) this.#shares.set(sample.engine, (share = new DecayedMean(PRIOR_SHARE)));
    share.add(Math.min(1, sample.outputTokens / sample.maxOutputTokens), now);
  }

  /** @returns the tokens an answer of this engine will have, of the most it may */
  outputTokens(engine: EngineName, maxOutputTokens: number, now: number): number {
    return Math.max(1, (this.#shares.get(engine)?.get(now) ?? PRIOR_SHARE) * maxOutputTokens);
  }
}
