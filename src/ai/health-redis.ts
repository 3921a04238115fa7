import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Estimates, Sample } from '#src/ai/estimates.ts';
import { type Gate, type Health, type HealthReport, MemoryHealth, type Parked } from '#src/ai/health.ts';
import { PROBE_LUA, READ_LUA, REPORT_LUA } from '#src/ai/health-script.ts';
import type { ProviderName } from '#src/ai/model.ts';

/** What was read is good for so long. */
const FRESH_MS = 250;
/** A Redis that does not answer in this time is taken for away: a breaker must not be what makes a job slow. */
const PATIENCE_MS = 100;
/** For so long after it failed, Redis is not asked. */
const PAUSE_MS = 1000;
const SAMPLES_AT_ONCE = 2000;
const MAX_KNOWN = 10_000;

const Count = z.number().nonnegative();
const BreakerState = z.object({
  window: z.record(z.string(), z.tuple([Count, Count, Count])),
  row: z.number(),
  rowJob: z.string(),
  isRowOfTwo: z.boolean(),
  openUntil: z.number(),
  opens: z.number(),
  probeUntil: z.number(),
  probes: z.number(),
  closedAt: z.number(),
  models: z.record(z.string(), z.number()),
});
const REASONS = ['rate_limited', 'quota_exhausted', 'auth', 'model_gone'] as const;
const ParkingState = z.record(z.string(), z.object({ until: z.number(), reason: z.enum(REASONS), times: z.number() }));
const ENGINES = [
  'copilot',
  'smart-replies',
  'sentiment',
  'intent',
  'extract-entities',
  'summarize',
  'translate',
  'score-lead',
  'chat',
] as const;
/** A sample as it travels, short: the process, then the fields of `Sample` in order. */
const SampleLine = z.tuple([
  z.string(),
  z.string(),
  z.enum(ENGINES),
  z.boolean(),
  Count,
  Count,
  Count,
  Count.nullable(),
  Count,
  z.enum(['success', 'fault', 'neutral']),
]);
const ReadAnswer = z.tuple([z.number(), z.array(z.string()), z.array(z.string()), z.array(z.string())]);

/** Reads JSON that another version of us may have written; undefined where it does not fit. */
function parsed<Output>(schema: z.ZodType<Output>, text: string): Output | undefined {
  if (text === '') return undefined;
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

export interface RedisHealthOptions {
  redis: Redis;
  prefix: string;
  /** What calls of other processes have shown is added here. */
  estimates: Estimates;
  /** Milliseconds since the epoch. */
  clock: () => number;
  random?: () => number;
}

type Scripted = Redis & {
  aiHealthRead(...args: (string | number)[]): Promise<unknown>;
  aiHealthProbe(...args: (string | number)[]): Promise<number>;
  aiHealthReport(...args: (string | number)[]): Promise<number>;
};

/**
 * Breakers, parked keys and samples of all processes with the same Redis and prefix. A decision costs at most one round trip, and none
 * within 250 ms of the last; a report costs one that nobody waits for. Redis away: this process goes on with what it knows and sees
 * itself. Redis holds names of models and ids of keys, nothing of requests.
 */
export class RedisHealth implements Health {
  readonly #redis: Scripted;
  readonly #options: RedisHealthOptions;
  readonly #local: MemoryHealth;
  readonly #random: () => number;
  readonly #me = randomUUID().slice(0, 8);
  readonly #readAt = new Map<string, number>();
  #reading: { names: ReadonlySet<string>; done: Promise<void> } | undefined;
  /** Redis's clock less ours. */
  #skewMs = 0;
  #pausedUntil = -Infinity;
  #lastSample = '';

  constructor(options: RedisHealthOptions) {
    const { redis, random = Math.random } = options;
    redis.defineCommand('aiHealthRead', { lua: READ_LUA });
    redis.defineCommand('aiHealthProbe', { lua: PROBE_LUA });
    redis.defineCommand('aiHealthReport', { lua: REPORT_LUA });
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- defineCommand has just added them
    this.#redis = redis as Scripted;
    this.#options = options;
    this.#random = random;
    this.#local = new MemoryHealth(() => this.now(), random);
  }

  now(): number {
    return this.#options.clock() + this.#skewMs;
  }

  refresh(ids: readonly string[], scopes: readonly string[]): Promise<void> | undefined {
    if (this.#isAway()) return undefined;
    const oldest = this.#options.clock() - FRESH_MS;
    const isStale = (name: string) => (this.#readAt.get(name) ?? -Infinity) < oldest;
    if (!ids.some(isStale) && !scopes.some(isStale)) return undefined;
    const reading = this.#reading;
    const isCovered = (name: string) => !isStale(name) || reading?.names.has(name) === true;
    if (reading && ids.every(isCovered) && scopes.every(isCovered)) return reading.done;
    const names = new Set([...ids, ...scopes]);
    const done = this.#read(ids, scopes, names);
    this.#reading = { names, done };
    return done;
  }

  gate(provider: ProviderName, id: string): Gate {
    return this.#local.gate(provider, id);
  }

  parked(scope: string, model: string): Parked | undefined {
    return this.#local.parked(scope, model);
  }

  hasParking(scope: string, field: string): boolean {
    return this.#local.hasParking(scope, field);
  }

  async takeProbe(provider: ProviderName, id: string): Promise<boolean> {
    if (!this.#isAway()) {
      try {
        const keys = [this.#breakerKey(id), this.#breakerKey(provider)];
        if ((await this.#patiently(this.#redis.aiHealthProbe(2, ...keys, 0))) === 0) {
          // Somebody was faster: what is known here is old.
          this.#readAt.delete(id);
          return false;
        }
      } catch {
        this.#pause();
      }
    }
    return this.#local.takeProbe(provider, id);
  }

  report(report: HealthReport): void {
    const jitter = this.#random();
    this.#local.apply(report, jitter);
    if (this.#isAway()) return;
    const { provider, model, outcome, weight, isSlow, jobId, parks, sample } = report;
    const keys = [this.#breakerKey(`${provider}/${model}`), this.#breakerKey(provider), this.#key('samples')];
    const parking = parks.map(({ scope }) => this.#parkingKey(scope));
    const parked = parks.flatMap(({ field, ms, reason }) => [field, Math.ceil(ms), reason]);
    const event = [0, model, outcome, weight, isSlow ? 1 : 0, jobId, jitter, this.#line(sample)];
    this.#redis
      .aiHealthReport(keys.length + parking.length, ...keys, ...parking, ...event, ...parked)
      .catch(() => this.#pause());
  }

  async #read(ids: readonly string[], scopes: readonly string[], names: ReadonlySet<string>): Promise<void> {
    const keys = [...ids.map((id) => this.#breakerKey(id)), ...scopes.map((scope) => this.#parkingKey(scope))];
    const after = this.#lastSample;
    try {
      const call = this.#redis.aiHealthRead(
        keys.length + 1,
        ...keys,
        this.#key('samples'),
        0,
        ids.length,
        after,
        SAMPLES_AT_ONCE,
      );
      const [now, breakers, parkings, samples] = ReadAnswer.parse(await this.#patiently(call));
      this.#skewMs = now - this.#options.clock();
      if (this.#readAt.size > MAX_KNOWN) this.#readAt.clear();
      for (const name of [...ids, ...scopes]) this.#readAt.set(name, this.#options.clock());
      for (const [at, id] of ids.entries()) this.#local.replaceBreaker(id, parsed(BreakerState, breakers[at] ?? ''));
      for (const [at, scope] of scopes.entries())
        this.#local.replaceParking(scope, parsed(ParkingState, parkings[at] ?? ''));
      // Another read may have brought them meanwhile.
      if (this.#lastSample === after) this.#learn(samples);
    } catch {
      this.#pause();
    } finally {
      if (this.#reading?.names === names) this.#reading = undefined;
    }
  }

  #learn(entries: readonly string[]): void {
    for (let at = 0; at + 1 < entries.length; at += 2) {
      const id = entries[at] ?? '';
      this.#lastSample = id;
      const line = parsed(SampleLine, entries[at + 1] ?? '');
      if (!line || line[0] === this.#me) continue;
      const [, target, engine, isStreamed, inputTokens, outputTokens, maxOutputTokens, firstMs, totalMs, outcome] =
        line;
      const sample = { id: target, engine, isStreamed, inputTokens, outputTokens, maxOutputTokens, firstMs, totalMs };
      this.#options.estimates.add({ ...sample, outcome }, Number(id.split('-', 1)[0]));
    }
  }

  #line(sample: Sample): string {
    const { id, engine, isStreamed, inputTokens, outputTokens, maxOutputTokens, firstMs, totalMs, outcome } = sample;
    const counts = [inputTokens, outputTokens, maxOutputTokens];
    const times = [firstMs === null ? null : Math.round(firstMs), Math.round(totalMs)];
    return JSON.stringify([this.#me, id, engine, isStreamed, ...counts, ...times, outcome]);
  }

  #isAway(): boolean {
    return this.#redis.status !== 'ready' || this.#options.clock() < this.#pausedUntil;
  }

  #pause(): void {
    this.#pausedUntil = this.#options.clock() + PAUSE_MS;
  }

  #key(rest: string): string {
    return `{${this.#options.prefix}}:ai:${rest}`;
  }

  #breakerKey(name: string): string {
    return this.#key(`breaker:${name}`);
  }

  #parkingKey(scope: string): string {
    return this.#key(`parked:${scope}`);
  }

  async #patiently<Answer>(answer: Promise<Answer>): Promise<Answer> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    // A process that was busy for so long finds the timer first and the answer after it: it reads what has come before it gives up.
    const giveUp = () => setImmediate(reject, new Error('Redis did not answer in time'));
    const timer = setTimeout(giveUp, PATIENCE_MS);
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
