/** One bucket to be charged: its key, the microseconds one request takes of it, and how many requests fit. */
export interface Charge {
  key: string;
  intervalUs: number;
  quota: number;
}

/** What a charge did: the requests left and the microseconds until the bucket is full again, by bucket. */
export interface Verdict {
  /** Microseconds until the same request would be admitted; 0 when it was. */
  waitUs: number;
  /** The bucket that makes it wait longest. */
  refusedBy: number | null;
  buckets: { remaining: number; fullInUs: number }[];
}

/**
 * The Generic Cell Rate Algorithm (ITU-T I.371, virtual scheduling) over several buckets at once: a bucket keeps the time at which it
 * will be full again; a request moves that time by one interval and is refused where it would lie more than the quota ahead. When one
 * bucket refuses, none is charged.
 * @param fullAt by bucket: the kept time in microseconds; undefined for one that is full
 * @returns the verdict, and the times to keep: undefined when refused
 */
export function chargeAll(
  charges: readonly Charge[],
  fullAt: readonly (number | undefined)[],
  nowUs: number,
): { verdict: Verdict; kept: number[] | undefined } {
  const before = charges.map((_, at) => Math.max(nowUs, fullAt[at] ?? nowUs));
  const waits = charges.map(({ intervalUs, quota }, at) => (before[at] ?? 0) + intervalUs * (1 - quota) - nowUs);
  const waitUs = Math.max(0, ...waits);
  const kept = charges.map(({ intervalUs }, at) => (before[at] ?? 0) + (waitUs > 0 ? 0 : intervalUs));
  const buckets = charges.map(({ intervalUs, quota }, at) => {
    const fullInUs = (kept[at] ?? 0) - nowUs;
    return { remaining: Math.max(0, quota - Math.ceil(fullInUs / intervalUs)), fullInUs };
  });
  const refusedBy = waitUs > 0 ? waits.indexOf(waitUs) : null;
  return { verdict: { waitUs, refusedBy, buckets }, kept: waitUs > 0 ? undefined : kept };
}

/**
 * The same in Redis, by its clock, so that all processes share one: KEYS are the buckets, ARGV their intervals and quotas in turn.
 * Returns the wait and then each bucket's time until it is full, all in microseconds. Numbers are written out by `%.0f`: Lua's own
 * way keeps 14 digits, and a time in microseconds has 16.
 */
export const GCRA_LUA = `
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local full, wait = {}, 0
for i, key in ipairs(KEYS) do
  local interval, quota = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  full[i] = math.max(now, tonumber(redis.call('GET', key)) or now)
  wait = math.max(wait, full[i] + interval * (1 - quota) - now)
end
local answer = { wait }
for i, key in ipairs(KEYS) do
  if wait == 0 then
    full[i] = full[i] + tonumber(ARGV[2 * i - 1])
    redis.call('SET', key, string.format('%.0f', full[i]), 'PX', math.ceil((full[i] - now) / 1000))
  end
  answer[i + 1] = full[i] - now
end
return answer`;

/** Reads the script's answer. */
export function readAnswer(charges: readonly Charge[], answer: readonly number[]): Verdict {
  const [waitUs = 0, ...fullIn] = answer;
  const buckets = charges.map(({ intervalUs, quota }, at) => {
    const fullInUs = fullIn[at] ?? 0;
    return { remaining: Math.max(0, quota - Math.ceil(fullInUs / intervalUs)), fullInUs };
  });
  const waits = charges.map(({ intervalUs, quota }, at) => (fullIn[at] ?? 0) + intervalUs * (1 - quota));
  return { waitUs, refusedBy: waitUs > 0 ? waits.indexOf(Math.max(...waits)) : null, buckets };
}
