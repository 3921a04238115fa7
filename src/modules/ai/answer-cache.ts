import { createHmac, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { canonicalJson } from '#src/lib/canonical-json.ts';
import { openText, sealText } from '#src/lib/sealed.ts';
import { deriveKey } from '#src/lib/secrets.ts';

const LEASE_MS = 5000;
const FIRST_LOOK_MS = 20;
const LAST_LOOK_MS = 250;
/** An answer by the built-in rules serves those who wait for it, and not for as long as a model's. */
const DEGRADED_TTL_MS = 5000;

// KEYS: 1 the answer, 2 the lease. ARGV: 1 token, 2 lease in ms. Answers the answer, or 1 when the caller shall make it, or 0 when another does.
const LOOK = `
local found = redis.call('GET', KEYS[1])
if found then return found end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0`;
const RENEW = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`;
// KEYS as in LOOK. ARGV: 1 token, 2 the answer, or '' when there is none, 3 its life in ms.
const SETTLE = `
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1`;

interface Caching extends Redis {
  answerLook(answer: string, lease: string, token: string, leaseMs: number): Promise<string | number>;
  answerRenew(lease: string, token: string, leaseMs: number): Promise<number>;
  answerSettle(answer: string, lease: string, token: string, sealed: string, ttlMs: number): Promise<number>;
}

/** How one job uses the cache. */
export interface Lookup<Outcome> {
  /** Whatever makes two jobs equal; the workspace is part of it. */
  of: { workspaceId: string; [part: string]: unknown };
  signal: AbortSignal;
  /** Makes the answer. */
  run: () => Promise<Outcome>;
  /** What is kept of it. */
  toKept: (outcome: Outcome) => { value: unknown; degraded: boolean };
  /** @throws when what was kept is of another version and cannot be used */
  fromKept: (value: unknown) => Outcome;
}

/** Answers of deterministic engines, kept for a while and made once for all who ask at the same time, in all processes. */
export interface AnswerCache {
  /**
   * The kept answer; or that of an equal job under way anywhere, waited for; or a new one. When the job that makes it fails or dies, one of those
   * that wait makes it. With Redis away the answer is just made.
   * @throws what `run` throws; the signal's reason
   */
  through<Outcome>(lookup: Lookup<Outcome>): Promise<{ outcome: Outcome; isCached: boolean }>;
}

export interface AnswerCacheOptions {
  redis: Redis;
  prefix: string;
  /** Seals what is kept, and makes the keys: Redis holds neither texts nor digests that could be guessed. */
  appSecret: string;
  ttlMs: number;
  /** How long a job that makes an answer and says nothing keeps others waiting. */
  leaseMs?: number;
}

const ignore = () => undefined;

/** Opens the cache over a connection that fails fast. */
export function createAnswerCache(options: AnswerCacheOptions): AnswerCache {
  const { redis, prefix, appSecret, ttlMs, leaseMs = LEASE_MS } = options;
  redis.defineCommand('answerLook', { numberOfKeys: 2, lua: LOOK });
  redis.defineCommand('answerRenew', { numberOfKeys: 1, lua: RENEW });
  redis.defineCommand('answerSettle', { numberOfKeys: 2, lua: SETTLE });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- defineCommand has just added them
  const caching = redis as Caching;
  const key = deriveKey(appSecret, 'answer-cache.v1', 32);

  /** Makes the answer as the one that all others wait for. */
  const lead = async <Outcome>(names: Names, token: string, { run, toKept }: Lookup<Outcome>): Promise<Outcome> => {
    const renewing = setInterval(
      () => void caching.answerRenew(names.lease, token, leaseMs).catch(ignore),
      leaseMs / 3,
    );
    let sealed = '';
    let lifeMs = ttlMs;
    try {
      const outcome = await run();
      const { value, degraded } = toKept(outcome);
      sealed = sealText(appSecret, names.answer, JSON.stringify(value)).toString('base64');
      lifeMs = degraded ? Math.min(ttlMs, DEGRADED_TTL_MS) : ttlMs;
      return outcome;
    } finally {
      clearInterval(renewing);
      // Not waited for: the job has its answer.
      caching.answerSettle(names.answer, names.lease, token, sealed, lifeMs).catch(ignore);
    }
  };

  return {
    async through(lookup) {
      const { of, signal, run, fromKept } = lookup;
      const digest = createHmac('sha256', key).update(canonicalJson(of)).digest('base64url');
      const names = { answer: `${prefix}:{a:${digest}}:a`, lease: `${prefix}:{a:${digest}}:l` };
      const token = randomUUID();
      for (let waitMs = FIRST_LOOK_MS; ; waitMs = Math.min(LAST_LOOK_MS, waitMs * 1.5)) {
        signal.throwIfAborted();
        const seen = await caching.answerLook(names.answer, names.lease, token, leaseMs).catch(() => null);
        if (seen === 1) return { outcome: await lead(names, token, lookup), isCached: false };
        if (seen === null) return { outcome: await run(), isCached: false };
        if (typeof seen === 'string') {
          const kept = attempt(() =>
            fromKept(JSON.parse(openText(appSecret, names.answer, Buffer.from(seen, 'base64')))),
          );
          return kept ? { outcome: kept.value, isCached: true } : { outcome: await run(), isCached: false };
        }
        await sleep(waitMs, undefined, { signal }).catch(ignore);
      }
    },
  };
}

interface Names {
  answer: string;
  lease: string;
}

function attempt<Value>(work: () => Value): { value: Value } | null {
  try {
    return { value: work() };
  } catch {
    return null;
  }
}
