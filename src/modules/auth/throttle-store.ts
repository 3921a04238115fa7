import type { Redis } from 'ioredis';
import type { Log } from '#src/lib/log.ts';

/** At most `limit` in a window of `windowMs`, which begins with the first. */
export interface WindowRule {
  limit: number;
  windowMs: number;
}

/** The first `free` cost nothing; then each has to wait twice as long as the one before. All is forgotten after `forgetMs` of quiet. */
export interface BackoffRule {
  free: number;
  baseMs: number;
  capMs: number;
  forgetMs: number;
}

/** Counters that are read and changed in one step, so that parallel callers cannot slip through between the two. */
export interface ThrottleStore {
  /** Counts one. @returns 0 when it is within the limit, else the milliseconds until the window ends */
  countInWindow(key: string, rule: WindowRule): Promise<number>;
  /** Counts one, unless it is too early for it. @returns 0, or the milliseconds until it would not be too early */
  countWithBackoff(key: string, rule: BackoffRule): Promise<number>;
  forget(key: string): Promise<void>;
}

// KEYS: the counter. ARGV: limit, windowMs. Returns 0 or the milliseconds to wait.
const WINDOW = `
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if count <= tonumber(ARGV[1]) then return 0 end
return math.max(1, redis.call('PTTL', KEYS[1]))`;

// KEYS: a hash {n: attempts, next: ms since 1970 before which none may come}. ARGV: free, baseMs, capMs, forgetMs. Returns as WINDOW.
const BACKOFF = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait = tonumber(redis.call('HGET', KEYS[1], 'next') or '0') - now
if wait > 0 then return wait end
local over = redis.call('HINCRBY', KEYS[1], 'n', 1) - tonumber(ARGV[1])
local delay = 0
if over >= 0 then delay = math.min(tonumber(ARGV[3]), tonumber(ARGV[2]) * 2 ^ math.min(over, 30)) end
redis.call('HSET', KEYS[1], 'next', string.format('%.0f', now + delay))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[4] + delay))
return 0`;

/**
 * The counters that all processes share, in Redis; without it, this process's own, so that nobody can guess freely meanwhile.
 * @param instances how many processes there may be: alone, each admits its part
 */
export function createThrottleStore(redis: Redis, instances: number, log: Log): ThrottleStore {
  const local = createLocalStore();
  const part = (count: number) => Math.max(1, Math.floor(count / instances));
  let isLocal = false;
  const orLocal = async <Result>(shared: () => Promise<Result>, alone: () => Promise<Result>): Promise<Result> => {
    try {
      const result = await shared();
      isLocal = false;
      return result;
    } catch (error) {
      if (!isLocal) log.warn({ err: error }, 'Sign-ins are counted by this process alone');
      isLocal = true;
      return alone();
    }
  };
  const run = async (script: string, key: string, ...values: number[]) =>
    Number(await redis.eval(script, 1, key, ...values));
  return {
    countInWindow: (key, rule) =>
      orLocal(
        () => run(WINDOW, key, rule.limit, rule.windowMs),
        () => local.countInWindow(key, { ...rule, limit: part(rule.limit) }),
      ),
    countWithBackoff: (key, rule) =>
      orLocal(
        () => run(BACKOFF, key, rule.free, rule.baseMs, rule.capMs, rule.forgetMs),
        () => local.countWithBackoff(key, { ...rule, free: part(rule.free) }),
      ),
    forget: (key) =>
      orLocal(
        async () => void (await redis.del(key)),
        () => local.forget(key),
      ),
  };
}

interface Counter {
  count: number;
  /** No further one before this. */
  next: number;
  until: number;
}

/** The same counters in memory. Beyond `size` keys, whoever was counted longest ago is forgotten. */
export function createLocalStore(now: () => number = () => performance.now(), size = 50_000): ThrottleStore {
  const counters = new Map<string, Counter>();
  const take = (key: string): Counter => {
    const known = counters.get(key);
    counters.delete(key);
    if (counters.size >= size) for (const oldest of counters.keys()) if (counters.delete(oldest)) break;
    const counter = known && known.until > now() ? known : { count: 0, next: 0, until: 0 };
    counters.set(key, counter);
    return counter;
  };
  return {
    async countInWindow(key, { limit, windowMs }) {
      const counter = take(key);
      if (counter.count === 0) counter.until = now() + windowMs;
      counter.count += 1;
      return counter.count <= limit ? 0 : Math.max(1, Math.ceil(counter.until - now()));
    },
    async countWithBackoff(key, { free, baseMs, capMs, forgetMs }) {
      const counter = take(key);
      const waitMs = counter.next - now();
      if (waitMs > 0) return Math.ceil(waitMs);
      counter.count += 1;
      const over = counter.count - free;
      const delayMs = over < 0 ? 0 : Math.min(capMs, baseMs * 2 ** Math.min(over, 30));
      counter.next = now() + delayMs;
      counter.until = counter.next + forgetMs;
      return 0;
    },
    forget: async (key) => void counters.delete(key),
  };
}
