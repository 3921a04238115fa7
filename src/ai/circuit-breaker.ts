/*
 * The breaker as functions over a plain state, so that Redis (health-script.ts) and a process without Redis keep the same one.
 * Times are milliseconds of one clock: Redis's, or the process's own.
 */

const STEP_MS = 3000;
const STEPS = 10;
const MIN_CALLS = 10;
const FAULT_RATIO = 0.5;
const SLOW_RATIO = 0.8;
const FAULTS_IN_A_ROW = 5;
const OPEN_MS = 5000;
const OPEN_MAX_MS = 300_000;
/** Closed for so long, a breaker that opens again begins with the short time. */
const FORGIVEN_AFTER_MS = 300_000;
const PROBES = 3;
const PROBE_LEASE_MS = 60_000;
const RAMP_STEP_MS = 10_000;
const RAMP = [0.1, 0.25, 0.5];
const OPEN_MODELS = 3;
/** A model of which nothing was heard for so long after its time no longer counts as open for its provider. */
const STALE_MODEL_MS = 60_000;

/** Of one (provider, model), or of a provider as a whole. */
export interface Breaker {
  /** Calls, faults and slow calls by steps of 3 s, named by their number since the epoch. */
  window: Record<string, [calls: number, faults: number, slow: number]>;
  /** Faults since the last success, the job of the first, and whether another job had one too. */
  row: number;
  rowJob: string;
  isRowOfTwo: boolean;
  /** 0: closed. Past: waits for probes. */
  openUntil: number;
  /** How often it opened without a long good time between. */
  opens: number;
  /** A probe is under way until then. */
  probeUntil: number;
  probes: number;
  closedAt: number;
  /** Of a provider: its models that are open, and until when. */
  models: Record<string, number>;
}

export const newBreaker = (): Breaker => ({
  window: {},
  row: 0,
  rowJob: '',
  isRowOfTwo: false,
  openUntil: 0,
  opens: 0,
  probeUntil: 0,
  probes: 0,
  closedAt: 0,
  models: {},
});

/** A call that ended, as a breaker counts it. Neutral ends (ours, the caller's, a limit) only free the probe. */
export interface BreakerEvent {
  now: number;
  outcome: 'success' | 'fault' | 'neutral';
  /** Of a fault: 1, or ½ for an overload. */
  weight: number;
  /** The first content took more than three times what is usual. */
  isSlow: boolean;
  jobId: string;
  /** 0..1, stretches the open time by 0.8 to 1.2. */
  jitter: number;
}

export type Phase = 'closed' | 'open' | 'half_open' | 'ramping';

export function phaseOf({ openUntil, closedAt }: Breaker, now: number): Phase {
  if (openUntil > now) return 'open';
  if (openUntil > 0) return 'half_open';
  return closedAt > 0 && now < closedAt + RAMP.length * RAMP_STEP_MS ? 'ramping' : 'closed';
}

/** The share of the calls a target gets: less than 1 in the 30 s after its breaker closed. */
export function rampShare(breaker: Breaker, now: number): number {
  if (phaseOf(breaker, now) !== 'ramping') return 1;
  return RAMP[Math.floor((now - breaker.closedAt) / RAMP_STEP_MS)] ?? 1;
}

/** The last 30 s: ten whole steps and the part of the eleventh that is still in them. Drops what is older. */
export function windowOf(breaker: Breaker, now: number): { calls: number; faults: number; slow: number } {
  const step = Math.floor(now / STEP_MS);
  const part = 1 - (now % STEP_MS) / STEP_MS;
  let [calls, faults, slow] = [0, 0, 0];
  for (const [name, counts] of Object.entries(breaker.window)) {
    const age = step - Number(name);
    if (age > STEPS) {
      delete breaker.window[name];
      continue;
    }
    const share = age === STEPS ? part : 1;
    calls += counts[0] * share;
    faults += counts[1] * share;
    slow += counts[2] * share;
  }
  return { calls, faults, slow };
}

function open(breaker: Breaker, now: number, jitter: number): void {
  const opens = now - breaker.closedAt > FORGIVEN_AFTER_MS && breaker.openUntil === 0 ? 0 : breaker.opens;
  breaker.openUntil = now + Math.floor(Math.min(OPEN_MAX_MS, OPEN_MS * 2 ** opens) * (0.8 + 0.4 * jitter));
  breaker.opens = Math.min(20, opens + 1);
  breaker.probeUntil = 0;
  breaker.probes = 0;
  breaker.window = {};
  breaker.row = 0;
  breaker.rowJob = '';
  breaker.isRowOfTwo = false;
}

function close(breaker: Breaker, now: number): void {
  breaker.openUntil = 0;
  breaker.closedAt = now;
  breaker.probes = 0;
  breaker.probeUntil = 0;
  breaker.window = {};
  breaker.models = {};
}

function countFault(breaker: Breaker, { weight, jobId }: BreakerEvent): void {
  breaker.row += weight;
  if (breaker.rowJob === '') breaker.rowJob = jobId;
  else if (breaker.rowJob !== jobId) breaker.isRowOfTwo = true;
}

/** Counts one end of a call. A late end of a call from before it opened changes nothing. */
export function countCall(breaker: Breaker, event: BreakerEvent): void {
  const { now, outcome } = event;
  const phase = phaseOf(breaker, now);
  if (outcome === 'neutral') {
    if (phase === 'half_open') breaker.probeUntil = 0;
    return;
  }
  if (phase === 'open') return;
  if (phase === 'half_open') {
    if (outcome === 'fault') return open(breaker, now, event.jitter);
    breaker.probeUntil = 0;
    breaker.probes += 1;
    if (breaker.probes >= PROBES) close(breaker, now);
    return;
  }
  const counts = (breaker.window[String(Math.floor(now / STEP_MS))] ??= [0, 0, 0]);
  counts[0] += 1;
  if (event.isSlow) counts[2] += 1;
  if (outcome === 'fault') {
    counts[1] += event.weight;
    countFault(breaker, event);
  } else {
    breaker.row = 0;
    breaker.rowJob = '';
    breaker.isRowOfTwo = false;
  }
  const { calls, faults, slow } = windowOf(breaker, now);
  const isBad = calls >= MIN_CALLS && (faults >= FAULT_RATIO * calls || slow >= SLOW_RATIO * calls);
  if (isBad || (breaker.row >= FAULTS_IN_A_ROW && breaker.isRowOfTwo)) open(breaker, now, event.jitter);
}

/** Counts the same end for the provider: it opens with three of its models, and probes like a model. */
export function countForProvider(parent: Breaker, model: string, child: Breaker, event: BreakerEvent): void {
  const { now } = event;
  for (const [name, until] of Object.entries(parent.models))
    if (until + STALE_MODEL_MS < now) delete parent.models[name];
  if (child.openUntil > 0) parent.models[model] = child.openUntil;
  else delete parent.models[model];
  const phase = phaseOf(parent, now);
  if (phase === 'half_open') return countCall(parent, event);
  if (phase !== 'open' && Object.keys(parent.models).length >= OPEN_MODELS) open(parent, now, event.jitter);
}

/** Takes the one probe there may be. @returns false when another has it; true also where none is needed */
export function takeProbe(breakers: readonly Breaker[], now: number): boolean {
  if (breakers.some(({ openUntil, probeUntil }) => openUntil > now || (openUntil > 0 && probeUntil > now)))
    return false;
  for (const breaker of breakers) if (breaker.openUntil > 0) breaker.probeUntil = now + PROBE_LEASE_MS;
  return true;
}
