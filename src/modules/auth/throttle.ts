import { createHmac } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Config } from '#src/config.ts';
import { AppError } from '#src/errors.ts';
import type { Log } from '#src/lib/log.ts';
import { deriveKey } from '#src/lib/secrets.ts';
import { createThrottleStore, type BackoffRule, type WindowRule } from '#src/modules/auth/throttle-store.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

/**
 * Ten guesses at an account, then a delay that grows from 1 s to 5 min. It never locks: a stranger who guesses at somebody's account could
 * otherwise keep them out for good. At the cap that is 288 guesses a day.
 */
const PER_ACCOUNT: BackoffRule = { free: 10, baseMs: SECOND_MS, capMs: 5 * MINUTE_MS, forgetMs: 15 * MINUTE_MS };
/** Mails that anybody can have sent to an address. */
const MAILS: WindowRule = { limit: 5, windowMs: 60 * MINUTE_MS };

/**
 * Slows guessing at an account down, wherever the guesses come from; the limits of routes slow a network down. Addresses are never kept in
 * clear: counters have keyed digests for names.
 */
export interface Throttle {
  /**
   * Counts an attempt before anything is checked. An address without an account counts like any other.
   * @throws AppError 429 `login_throttled` with the time to wait
   */
  attempt(email: string): Promise<void>;
  /** Its owner has proved who they are: earlier failures are forgotten. */
  forget(email: string): Promise<void>;
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
  const keyOf = (kind: 'account' | 'mail', email: string) => {
    const digest = createHmac('sha256', secret).update(`${kind}:${email}`).digest('base64url').slice(0, 22);
    return `${REDIS_PREFIX}:throttle:${kind}:${digest}`;
  };
  const scaled = (count: number) => Math.max(1, Math.round(count * scale));
  const attempts = { ...PER_ACCOUNT, free: scaled(PER_ACCOUNT.free) };
  const mails = { ...MAILS, limit: scaled(MAILS.limit) };
  return {
    async attempt(email) {
      const retryAfterMs = await store.countWithBackoff(keyOf('account', email), attempts);
      if (retryAfterMs === 0) return;
      const detail = 'Too many attempts. Wait before you try again.';
      throw new AppError(429, 'login_throttled', detail, { retry: 'later', retryAfterMs });
    },
    forget: (email) => store.forget(keyOf('account', email)),
    mail: (email) => store.countInWindow(keyOf('mail', email), mails),
  };
}
