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
/**
 * A hundred failures of a network (an IPv4 address, a /64 of IPv6), whatever the accounts, then a delay from 1 s to 1 min: passwords that are
 * tried over many accounts slow down too. A sign-in that succeeds does not count, so an office behind one address is not slowed by its own people,
 * and whoever guesses cannot buy themselves free with an account of their own.
 */
const PER_NETWORK: BackoffRule = { free: 100, baseMs: SECOND_MS, capMs: MINUTE_MS, forgetMs: 15 * MINUTE_MS };
/** Mails that anybody can have sent to an address. */
const MAILS: WindowRule = { limit: 5, windowMs: 60 * MINUTE_MS };

/**
 * Slows guessing down: at an account, wherever the guesses come from, and from a network, whatever the accounts. Addresses are never kept in
 * clear: counters have keyed digests for names.
 */
export interface Throttle {
  /**
   * Counts an attempt before anything is checked. An address without an account counts like any other.
   * @param ip where it comes from, at a sign-in; whoever proves anew who they are is signed in already
   * @throws AppError 429 `login_throttled` with the time to wait
   */
  attempt(email: string, ip?: string): Promise<void>;
  /** Its owner has proved who they are: earlier failures at the account are forgotten, and the network's count is as before the attempt. */
  forget(email: string, ip?: string): Promise<void>;
  /** Counts a mail to an address. @returns 0, or the milliseconds to wait because it has got enough */
  mail(email: string): Promise<number>;
}

export function createThrottle(
  redis: Redis,
  { APP_SECRET, REDIS_PREFIX, RATE_LIMIT_SCALE: scale, RATE_LIMIT_INSTANCES: instances }: Config,
  log: Log,
): Throttle {
  const store = createThrottleStore(redis, instances, log);
  const secret = deriveKey(APP_SECRET, 'throttle.v1', 32);
  const keyOf = (kind: 'account' | 'mail' | 'network', name: string) => {
    const digest = createHmac('sha256', secret).update(`${kind}:${name}`).digest('base64url').slice(0, 22);
    return `${REDIS_PREFIX}:throttle:${kind}:${digest}`;
  };
  const scaled = (count: number) => Math.max(1, Math.round(count * scale));
  const attempts = { ...PER_ACCOUNT, free: scaled(PER_ACCOUNT.free) };
  const failures = { ...PER_NETWORK, free: scaled(PER_NETWORK.free) };
  const networkKey = (ip: string) => keyOf('network', networkOf(ip));
  const mails = { ...MAILS, limit: scaled(MAILS.limit) };
  return {
    async attempt(email, ip) {
      const waits = await Promise.all([
        store.countWithBackoff(keyOf('account', email), attempts),
        ip === undefined ? 0 : store.countWithBackoff(networkKey(ip), failures),
      ]);
      const retryAfterMs = Math.max(...waits);
      if (retryAfterMs === 0) return;
      const detail = 'Too many attempts. Wait before you try again.';
      throw new AppError(429, 'login_throttled', detail, { retry: 'later', retryAfterMs });
    },
    async forget(email, ip) {
      await Promise.all([
        store.forget(keyOf('account', email)),
        ip === undefined ? undefined : store.takeBack(networkKey(ip)),
      ]);
    },
    mail: (email) => store.countInWindow(keyOf('mail', email), mails),
  };
}
