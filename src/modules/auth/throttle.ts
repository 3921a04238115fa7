import { createHmac } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Config } from '#src/config.ts';
import { AppError } from '#src/errors.ts';
import type { Log } from '#src/lib/log.ts';
import { networkOf } from '#src/lib/network.ts';
import { deriveKey } from '#src/lib/secrets.ts';
import { createThrottleStore, type BackoffRule, type WindowRule } from '#src/modules/auth/throttle-store.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

/**
 * Ten guesses at an account, then a delay that grows from 1 s to 5 min. It never locks: a stranger who guesses at somebody's account could
 * otherwise keep them out for good. At the cap that is 288 guesses a day.
 */
const PER_ACCOUNT: BackoffRule = { free: 10, baseMs: SECOND_MS, capMs: 5 * MINUTE_MS, forgetMs: 15 * MINUTE_MS };
const PER_NETWORK: WindowRule = { limit: 30, windowMs: MINUTE_MS };
/** Mails that anybody can have sent to an address. */
const MAILS: WindowRule = { limit: 5, windowMs: 60 * MINUTE_MS };

/** Slows guessing of passwords and codes down. Addresses are never kept in clear: counters have keyed digests for names. */
export interface Throttle {
  /**
   * Counts an attempt before anything is checked. An address without an account counts like any other.
   * @throws AppError 429 `login_throttled` with the time to wait
   */
  attempt(email: string, ip: string): Promise<void>;
  /** The attempt was its owner's: the account's earlier failures are forgotten, and the network gets its count back. */
  succeeded(email: string, ip: string): Promise<void>;
  /** The owner has proved who they are in another way. */
  forgive(email: string): Promise<void>;
  /** Counts a mail to an address. @returns 0, or the milliseconds to wait because it has got enough */
  mail(email: string): Promise<number>;
}

export function createThrottle(
  redis: Redis,
  { APP_SECRET, REDIS_PREFIX, RATE_LIMIT_SCALE: scale }: Config,
  log: Log,
): Throttle {
  const store = createThrottleStore(redis, log);
  const secret = deriveKey(APP_SECRET, 'throttle.v1', 32);
  const keyOf = (kind: 'account' | 'network' | 'mail', what: string) => {
    const digest = createHmac('sha256', secret).update(`${kind}:${what}`).digest('base64url').slice(0, 22);
    return `${REDIS_PREFIX}:throttle:${kind}:${digest}`;
  };
  const scaled = (rule: WindowRule): WindowRule => ({ ...rule, limit: Math.max(1, Math.round(rule.limit * scale)) });
  const perAccount = { ...PER_ACCOUNT, free: Math.max(1, Math.round(PER_ACCOUNT.free * scale)) };
  return {
    async attempt(email, ip) {
      const network = await store.countInWindow(keyOf('network', networkOf(ip)), scaled(PER_NETWORK));
      const waitMs = network || (await store.countWithBackoff(keyOf('account', email), perAccount));
      if (waitMs === 0) return;
      const detail = 'Too many attempts. Wait before you try again.';
      throw new AppError(429, 'login_throttled', detail, { retry: 'later', retryAfterMs: waitMs });
    },
    async succeeded(email, ip) {
      await Promise.all([
        store.forget(keyOf('account', email)),
        store.uncountInWindow(keyOf('network', networkOf(ip))),
      ]);
    },
    forgive: (email) => store.forget(keyOf('account', email)),
    mail: (email) => store.countInWindow(keyOf('mail', email), scaled(MAILS)),
  };
}
