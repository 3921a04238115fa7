import type { FailureClass } from '#src/ai/model.ts';

/** What a failure allows and costs: the table of docs/routing.md. */
export interface Rule {
  /** How a breaker counts it; null: it says nothing about the provider's health. */
  faultWeight: number | null;
  /** Times the same target may be asked once more in one run. */
  retries: number;
  /** Not before so many milliseconds. */
  leastWaitMs: number;
  /** Another key of the same target may do better. */
  otherKey: boolean;
  /** Where to go next: `elsewhere` (another provider before other models of this one), `larger` context, `nowhere`. */
  next: 'elsewhere' | 'larger' | 'nowhere';
  /** What is parked, and for how long where the provider does not say. */
  parks?: { what: 'key' | 'key_model' | 'account_model'; ms: number };
}

const MINUTE_MS = 60_000;
const fault = (retries: number, leastWaitMs = 0, faultWeight = 1): Rule => ({
  faultWeight,
  retries,
  leastWaitMs,
  otherKey: false,
  next: 'elsewhere',
});
const neutral = (rule: Partial<Rule> & Pick<Rule, 'next'>): Rule => ({
  faultWeight: null,
  retries: 0,
  leastWaitMs: 0,
  otherKey: false,
  ...rule,
});

export const RULES: Readonly<Record<FailureClass, Rule>> = {
  transient: fault(2),
  overloaded: fault(1, 1000, 0.5),
  stream_truncated: fault(1),
  timeout: fault(1),
  rate_limited: neutral({
    retries: 1,
    otherKey: true,
    next: 'elsewhere',
    parks: { what: 'key_model', ms: 10_000 },
  }),
  quota_exhausted: neutral({ otherKey: true, next: 'elsewhere', parks: { what: 'key', ms: 15 * MINUTE_MS } }),
  auth: neutral({ otherKey: true, next: 'elsewhere', parks: { what: 'key', ms: 15 * MINUTE_MS } }),
  model_gone: neutral({ next: 'elsewhere', parks: { what: 'account_model', ms: 60 * MINUTE_MS } }),
  context_overflow: neutral({ next: 'larger' }),
  // The first such answer of a job is sent back with a hint by the router itself; once more is asked only where text of it is shown.
  bad_output: neutral({ retries: 1, next: 'elsewhere' }),
  // The input itself was refused: another model would be asked the same, and a refusal must not be shopped around.
  content_refused: neutral({ next: 'nowhere' }),
  caller_fault: neutral({ next: 'nowhere' }),
};

const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 8000;
/** A limit is waited for within a run only if it ends so soon. */
const LIMIT_WAIT_MAX_MS = 10_000;

/**
 * The wait before the same target is asked again: full jitter `rand(0, min(8 s, 0.5 s · 2^k))` (Brooker, "Exponential Backoff and Jitter",
 * 2015); after a `Retry-After` R that and a little more, so that not everybody returns at once.
 * @param tries retries made before, from 0
 * @param random 0..1
 * @returns milliseconds; undefined when the run should not wait for it
 */
export function retryWaitMs(
  failure: FailureClass,
  retryAfterMs: number | undefined,
  tries: number,
  remainingMs: number,
  random: number,
): number | undefined {
  const rule = RULES[failure];
  if (tries >= rule.retries) return undefined;
  if (failure === 'rate_limited') {
    if (retryAfterMs === undefined || retryAfterMs > Math.min(LIMIT_WAIT_MAX_MS, remainingMs / 4)) return undefined;
  }
  const backoff = random * Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** tries);
  const wait =
    retryAfterMs === undefined
      ? Math.max(rule.leastWaitMs, backoff)
      : retryAfterMs + random * Math.max(250, retryAfterMs / 10);
  return wait < remainingMs ? Math.ceil(wait) : undefined;
}

const SHARE = 0.1;
const START = 3;
const MOST = 10;

/** Bounds retries to a tenth of the calls of each target, so that a sick provider is not asked ever more often for being sick. */
export class RetryBudget {
  readonly #tokens = new Map<string, number>();

  /** A first call of a run to the target: it pays for a tenth of a retry. */
  called(id: string): void {
    this.#tokens.set(id, Math.min(MOST, (this.#tokens.get(id) ?? START) + SHARE));
  }

  /** @returns whether the target may be asked once more now */
  take(id: string): boolean {
    const tokens = this.#tokens.get(id) ?? START;
    if (tokens < 1) return false;
    this.#tokens.set(id, tokens - 1);
    return true;
  }
}
