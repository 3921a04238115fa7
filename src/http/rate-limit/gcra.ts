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
 * The same in Redis, by its clock, so that all processes share one; for many requests, one after the other. KEYS are the buckets of
 * all; ARGV holds for each request how many they are, then their intervals and quotas in turn. Returns for each its wait and then each
 * bucket's time until it is full, all in microseconds. Numbers are written out by `%.0f`: Lua's own way keeps 14 digits, and a time in
 * microseconds has 16.
 */
export const GCRA_LUA = `
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local answer, k, a = {}, 0, 1
while k < #KEYS do
  local n = tonumber(ARGV[a])
  local full, wait = redis.call('MGET', unpack(KEYS, k + 1, k + n)), 0
  for i = 1, n do
    local interval, quota = tonumber(ARGV[a + 2 * i - 1]), tonumber(ARGV[a + 2 * i])
    full[i] = math.max(now, tonumber(full[i]) or now)
    wait = math.max(wait, full[i] + interval * (1 - quota) - now)
  end
  answer[#answer + 1] = wait
  for i = 1, n do
    if wait == 0 then
      full[i] = full[i] + tonumber(ARGV[a + 2 * i - 1])
      redis.call('SET', KEYS[k + i], string.format('%.0f', full[i]), 'PX', math.ceil((full[i] - now) / 1000))
    end
    answer[#answer + 1] = full[i] - now
  end
  k, a = k + n, a + 2 * n + 1
end
return answer`;

/** The arguments of the script for several requests: how many keys, the keys, and the rest. */
export function scriptArguments(requests: readonly (readonly Charge[])[]): (string | number)[] {
  const keys = requests.flatMap((charges) => charges.map(({ key }) => key));
  const amounts = requests.flatMap((charges) => [
    charges.length,
    ...charges.flatMap(({ intervalUs, quota }) => [intervalUs, quota]),
  ]);
  return [keys.length, ...keys, ...amounts];
}

/** Reads the script's answer to the same requests. */
export function readAnswers(requests: readonly (readonly Charge[])[], answer: readonly number[]): Verdict[] {
  let at = 0;
  return requests.map((charges) => {
    const own = answer.slice(at, at + charges.length + 1);
    at += charges.length + 1;
    return readAnswer(charges, own);
  });
}

function readAnswer(charges: readonly Charge[], answer: readonly number[]): Verdict {
  const [waitUs = 0, ...fullIn] = answer;
  const buckets = charges.map(({ intervalUs, quota }, at) => {
    const fullInUs = fullIn[at] ?? 0;
    return { remaining: Math.max(0, quota - Math.ceil(fullInUs / intervalUs)), fullInUs };
  });
  const waits = charges.map(({ intervalUs, quota }, at) => (fullIn[at] ?? 0) + intervalUs * (1 - quota));
  return { waitUs, refusedBy: waitUs > 0 ? waits.indexOf(Math.max(...waits)) : null, buckets };
}
