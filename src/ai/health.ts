import {
  type Breaker,
  countCall,
  countForProvider,
  newBreaker,
  type Phase,
  phaseOf,
  rampShare,
  takeProbe,
} from '#src/ai/circuit-breaker.ts';
import type { Sample } from '#src/ai/estimates.ts';
import type { FailureClass, ProviderName } from '#src/ai/model.ts';

/** A key, a key at one model, or an account at one model that is not asked for a while. */
export interface Parked {
  until: number;
  reason: FailureClass;
  /** How often in a row: the time grows with it. */
  times: number;
}

/** By model; `*`: at all models. */
export type Parking = Record<string, Parked>;
export const ALL_MODELS = '*';

const PARKED_MAX_MS = 86_400_000;
const GROWING: ReadonlySet<FailureClass> = new Set(['quota_exhausted', 'auth']);

/** One thing to park, or with `ms` 0 to take out again. */
export interface Park {
  /** `provider:key id`, or `provider:account`. */
  scope: string;
  field: string;
  ms: number;
  reason: FailureClass;
}

/** Parks in a plain state. Money that is missing and keys that are refused come back rarely: the time grows fourfold, to a day. */
export function park(parking: Parking, { field, ms, reason }: Park, now: number): void {
  if (ms === 0) {
    delete parking[field];
    return;
  }
  const known = parking[field];
  const times = known?.reason === reason ? Math.min(20, known.times + 1) : 1;
  const wait = GROWING.has(reason) ? Math.min(PARKED_MAX_MS, ms * 4 ** (times - 1)) : ms;
  parking[field] = { until: now + wait, reason, times };
}

/** The end of one provider call, for everybody's decisions. */
export interface HealthReport {
  provider: ProviderName;
  model: string;
  outcome: Sample['outcome'];
  /** Of a fault: 1, or ½ for an overload. */
  weight: number;
  isSlow: boolean;
  /** Faults of one job alone do not open a breaker by being in a row. */
  jobId: string;
  parks: Park[];
  sample: Sample;
}

/** What a breaker, with its provider's, allows now. */
export interface Gate {
  phase: Phase;
  /** When something may change, by `Health.now`. */
  until: number;
  /** Half open, and nobody probes it now. */
  isProbeFree: boolean;
  share: number;
}

/** Breakers and parked keys, as all processes see them. Nothing here throws, and nothing makes a job wait longer than 100 ms. */
export interface Health {
  /** Milliseconds of the clock the states are kept by. */
  now(): number;
  /** Brings what is known of these targets (`provider/model`) and key scopes up to date; nothing to wait for where it is. */
  refresh(ids: readonly string[], scopes: readonly string[]): Promise<void> | undefined;
  gate(provider: ProviderName, id: string): Gate;
  /** Whether, and until when, a scope is parked for a model. */
  parked(scope: string, model: string): Parked | undefined;
  /** Whether a mark of an earlier parking is there that a success lifts. */
  hasParking(scope: string, field: string): boolean;
  /** Takes the one probe a half-open target has for the whole fleet. */
  takeProbe(provider: ProviderName, id: string): Promise<boolean> | boolean;
  report(report: HealthReport): void;
}

const CLOSED: Gate = { phase: 'closed', until: 0, isProbeFree: true, share: 1 };
const MAX_SCOPES = 10_000;

/** Health of this process alone: for tests, and underneath the shared one for when Redis is away. */
export class MemoryHealth implements Health {
  readonly #breakers = new Map<string, Breaker>();
  readonly #parkings = new Map<string, Parking>();
  readonly #clock: () => number;
  readonly #random: () => number;

  constructor(clock: () => number, random: () => number = Math.random) {
    this.#clock = clock;
    this.#random = random;
  }

  now(): number {
    return this.#clock();
  }

  refresh(): undefined {}

  gate(provider: ProviderName, id: string): Gate {
    const child = this.#breakers.get(id);
    const parent = this.#breakers.get(provider);
    if (!child && !parent) return CLOSED;
    const now = this.now();
    const one = child ? gateOf(child, now) : CLOSED;
    return parent ? stricter(one, gateOf(parent, now)) : one;
  }

  parked(scope: string, model: string): Parked | undefined {
    const parking = this.#parkings.get(scope);
    if (!parking) return undefined;
    const now = this.now();
    const found = [parking[ALL_MODELS], parking[model]].filter((one) => one !== undefined && one.until > now);
    return found.toSorted((a, b) => (b?.until ?? 0) - (a?.until ?? 0))[0];
  }

  hasParking(scope: string, field: string): boolean {
    return this.#parkings.get(scope)?.[field] !== undefined;
  }

  takeProbe(provider: ProviderName, id: string): boolean {
    const breakers = [this.#breakers.get(id), this.#breakers.get(provider)].filter((one) => one !== undefined);
    return takeProbe(breakers, this.now());
  }

  report(report: HealthReport): void {
    this.apply(report, this.#random());
  }

  /** @param jitter 0..1, the same in every copy of the state */
  apply({ provider, model, outcome, weight, isSlow, jobId, parks }: HealthReport, jitter: number): void {
    const now = this.now();
    const event = { now, outcome, weight, isSlow, jobId, jitter };
    const child = this.#breaker(`${provider}/${model}`);
    countCall(child, event);
    countForProvider(this.#breaker(provider), model, child, event);
    for (const one of parks) {
      if (this.#parkings.size > MAX_SCOPES) this.#parkings.clear();
      const parking = this.#parkings.get(one.scope) ?? {};
      park(parking, one, now);
      this.#parkings.set(one.scope, parking);
    }
  }

  breaker(name: string): Breaker | undefined {
    return this.#breakers.get(name);
  }

  parking(scope: string): Parking | undefined {
    return this.#parkings.get(scope);
  }

  /** Takes over what another place knows better; undefined: nothing is known. */
  replaceBreaker(name: string, breaker: Breaker | undefined): void {
    if (breaker) this.#breakers.set(name, breaker);
    else this.#breakers.delete(name);
  }

  replaceParking(scope: string, parking: Parking | undefined): void {
    if (this.#parkings.size > MAX_SCOPES) this.#parkings.clear();
    if (parking) this.#parkings.set(scope, parking);
    else this.#parkings.delete(scope);
  }

  #breaker(name: string): Breaker {
    let breaker = this.#breakers.get(name);
    if (!breaker) this.#breakers.set(name, (breaker = newBreaker()));
    return breaker;
  }
}

function gateOf(breaker: Breaker, now: number): Gate {
  const phase = phaseOf(breaker, now);
  if (phase === 'closed') return CLOSED;
  const isProbeFree = breaker.probeUntil <= now;
  const until = phase === 'half_open' && !isProbeFree ? breaker.probeUntil : breaker.openUntil;
  return { phase, until, isProbeFree, share: rampShare(breaker, now) };
}

const STRICTNESS: Record<Phase, number> = { closed: 0, ramping: 1, half_open: 2, open: 3 };

function stricter(one: Gate, other: Gate): Gate {
  const worse = STRICTNESS[other.phase] > STRICTNESS[one.phase] ? other : one;
  if (one.phase !== other.phase) return worse;
  return {
    phase: one.phase,
    until: Math.max(one.until, other.until),
    isProbeFree: one.isProbeFree && other.isProbeFree,
    share: Math.min(one.share, other.share),
  };
}
