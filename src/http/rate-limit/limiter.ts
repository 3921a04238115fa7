import { createHmac } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Auth, Plan } from '#src/http/access-token.ts';
import type { Config } from '#src/config.ts';
import { createBatcher } from '#src/db/batch.ts';
import { AppError } from '#src/errors.ts';
import {
  chargeAll,
  GCRA_LUA,
  readAnswers,
  scriptArguments,
  type Charge,
  type CountedCharge,
  type Verdict,
} from '#src/http/rate-limit/gcra.ts';
import { createPrepaid } from '#src/http/rate-limit/prepaid.ts';
import { readPolicies, type Policy, type PolicyName } from '#src/http/rate-limit/policies.ts';
import { networkOf } from '#src/lib/network.ts';
import { deriveKey } from '#src/lib/secrets.ts';

/** For so long after it failed, Redis is not asked. */
const PAUSE_MS = 1000;
const MAX_NETWORKS = 10_000;
const MAX_LOCAL_BUCKETS = 100_000;

/** Who is counted. */
export interface Caller {
  ip: string;
  auth: Pick<Auth, 'userId' | 'workspaceId' | 'plan'> | null;
}

/** What an answer says of the limits, as the header fields of the IETF draft (draft-ietf-httpapi-ratelimit-headers). */
export type LimitHeaders = Record<'ratelimit-policy' | 'ratelimit', string>;

export interface Limiter {
  /**
   * Counts one request against several policies at once, or against none of them when one refuses.
   * @throws AppError 429 `rate_limited`, with the wait and the headers (`LimitedError`)
   */
  take(policies: readonly PolicyName[], caller: Caller): Promise<LimitHeaders>;
}

/** 429, with what the answer shall say of the limits. */
export class LimitedError extends AppError {
  readonly headers: LimitHeaders;
  constructor(policy: PolicyName, waitUs: number, headers: LimitHeaders) {
    const seconds = Math.ceil(waitUs / 1_000_000);
    super(429, 'rate_limited', `Too many requests under the limit "${policy}". Try again in ${seconds} s.`, {
      retry: 'delay',
      retryAfterMs: Math.ceil(waitUs / 1000),
    });
    this.headers = headers;
  }
}

interface Counted extends Charge {
  name: PolicyName;
  policy: Policy;
}

const PLAN_OF_NOBODY: Plan = 'free';

function headersOf(counted: readonly Counted[], { buckets }: Verdict): LimitHeaders {
  let tightest = 0;
  for (const [at, bucket] of buckets.entries()) {
    const share = bucket.remaining / (counted[at]?.quota ?? 1);
    const least = (buckets[tightest]?.remaining ?? 0) / (counted[tightest]?.quota ?? 1);
    if (share < least) tightest = at;
  }
  const bucket = buckets[tightest];
  const seconds = Math.ceil((bucket?.fullInUs ?? 0) / 1_000_000);
  return {
    'ratelimit-policy': counted
      .map(({ name, quota, policy }) => `"${name}";q=${quota};w=${policy.windowSeconds}`)
      .join(', '),
    ratelimit: `"${counted[tightest]?.name}";r=${bucket?.remaining ?? 0};t=${seconds}`,
  };
}

/** @returns the limiter of this process; all processes with the same Redis and prefix count together. @throws ConfigError */
export function createLimiter(
  config: Pick<
    Config,
    | 'APP_SECRET'
    | 'REDIS_PREFIX'
    | 'RATE_LIMITS'
    | 'RATE_LIMIT_SCALE'
    | 'RATE_LIMIT_INSTANCES'
    | 'RATE_LIMIT_PATIENCE_MS'
  >,
  redis: Redis,
): Limiter {
  redis.defineCommand('rateLimit', { lua: GCRA_LUA });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- defineCommand has just added it
  const limited = redis as Redis & {
    rateLimit(...keysAndAmounts: (string | number)[]): Promise<number[]>;
  };
  const policies = readPolicies(config);
  const ipKey = deriveKey(config.APP_SECRET, 'rate-limit-ip.v1', 32);
  const networks = new Map<string, string>();
  const local = new Map<string, number>();
  let pausedUntil = 0;

  /** Addresses are personal data: Redis gets a code for the network, which without the key cannot be tried out. */
  const idOf = (policy: Policy, { ip, auth }: Caller): string => {
    if (policy.by === 'user' && auth) return auth.userId;
    if (policy.by === 'workspace' && auth) return auth.workspaceId;
    const known = networks.get(ip);
    if (known !== undefined) return known;
    const id = createHmac('sha256', ipKey).update(networkOf(ip)).digest('base64url').slice(0, 16);
    if (networks.size >= MAX_NETWORKS) networks.clear();
    networks.set(ip, id);
    return id;
  };
  const countedOf = (names: readonly PolicyName[], caller: Caller): Counted[] =>
    names.map((name) => {
      const policy = policies.get(name);
      if (!policy) throw new Error(`There is no limit "${name}"`);
      const quota = Math.max(
        1,
        Math.floor(policy.quota[caller.auth?.plan ?? PLAN_OF_NOBODY] * config.RATE_LIMIT_SCALE),
      );
      const key = `{${config.REDIS_PREFIX}}:rate:${name}:${idOf(policy, caller)}`;
      return {
        name,
        policy,
        key,
        quota,
        intervalUs: Math.max(1, Math.floor((policy.windowSeconds * 1_000_000) / quota)),
      };
    });

  // The requests of one moment are counted in one round trip, one after the other as they came.
  const inRedis = createBatcher<CountedCharge, Verdict>({
    max: 200,
    run: async (requests) => {
      const { promise: late, reject } = Promise.withResolvers<never>();
      // A process that was busy for so long finds the timer first and the answer after it: it reads what has come before it gives up.
      const giveUp = () => setImmediate(reject, new Error('Redis did not answer in time'));
      const timer = setTimeout(giveUp, config.RATE_LIMIT_PATIENCE_MS);
      try {
        const answer = await Promise.race([limited.rateLimit(...scriptArguments(requests)), late]);
        return readAnswers(requests, answer).map((value) => ({ value }));
      } finally {
        clearTimeout(timer);
      }
    },
  });

  const inThisProcess = (counted: readonly Counted[]): Verdict => {
    const own = counted.map((one) => {
      if (!one.policy.isGuarded) return one;
      const quota = Math.max(1, Math.floor(one.quota / config.RATE_LIMIT_INSTANCES));
      return { ...one, quota, intervalUs: Math.floor((one.policy.windowSeconds * 1_000_000) / quota) };
    });
    const fullAt = own.map(({ key }) => local.get(key));
    const { verdict, kept } = chargeAll(own, fullAt, Math.floor(performance.now() * 1000));
    for (const [at, { key }] of own.entries()) {
      if (kept === undefined) break;
      // Taken out first, so that the order of the map is the order of use.
      local.delete(key);
      local.set(key, kept[at] ?? 0);
    }
    for (const oldest of local.keys()) if (local.size <= MAX_LOCAL_BUCKETS || !local.delete(oldest)) break;
    return verdict;
  };

  const prepaid = createPrepaid((charges, count) => inRedis({ charges, count }));
  const judge = async (counted: Counted[]): Promise<Verdict> => {
    if (redis.status !== 'ready' || performance.now() < pausedUntil) return inThisProcess(counted);
    try {
      return await prepaid(counted);
    } catch {
      pausedUntil = performance.now() + PAUSE_MS;
      return inThisProcess(counted);
    }
  };

  return {
    async take(names, caller) {
      const counted = countedOf(names, caller);
      const verdict = await judge(counted);
      const headers = headersOf(counted, verdict);
      const refusing = verdict.refusedBy === null ? undefined : counted[verdict.refusedBy];
      if (refusing) throw new LimitedError(refusing.name, verdict.waitUs, headers);
      return headers;
    },
  };
}
