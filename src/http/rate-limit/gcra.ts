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
 * @param count how many requests it is for; below zero they are given back
 * @returns the verdict, and the times to keep: undefined when refused
 */
export function chargeAll(
  charges: readonly Charge[],
  fullAt: readonly (number | undefined)[],
  nowUs: number,
  count = 1,
): { verdict: Verdict; kept: number[] | undefined } {
  const before = charges.map((_, at) => Math.max(nowUs, fullAt[at] ?? nowUs));
  const waits = charges.map(({ intervalUs, quota }, at) => (before[at] ?? 0) + intervalUs * (count - quota) - nowUs);
  const waitUs = count > 0 ? Math.max(0, ...waits) : 0;
  const kept = charges.map(({ intervalUs }, at) =>
    Math.max(nowUs, (before[at] ?? 0) + (waitUs > 0 ? 0 : intervalUs * count)),
  );
  const buckets = charges.map(({ intervalUs, quota }, at) => {
    const fullInUs = (kept[at] ?? 0) - nowUs;
    return { remaining: Math.max(0, quota - Math.ceil(fullInUs / intervalUs)), fullInUs };
  });
  const refusedBy = waitUs > 0 ? waits.indexOf(waitUs) : null;
  return { verdict: { waitUs, refusedBy, buckets }, kept: waitUs > 0 ? undefined : kept };
}

/** What is taken of some buckets, all or none: so many requests' worth; below zero it is given back, and never refused. */
export interface CountedCharge {
  charges: readonly Charge[];
  count: number;
}

/**
 * The same in Redis, by its clock, so that all processes share one; for many requests, one after the other. KEYS are the buckets of
 * all, each once, so that requests of one caller cost one read and one write of them; ARGV holds for each how many buckets it takes of and
 * how many requests it counts for, then of each bucket its place in KEYS, its interval and its quota. Returns for each its wait and then each bucket's time until it is full, all
 * in microseconds. Numbers are written out by `%.0f`: Lua's own way keeps 14 digits, and a time in microseconds has 16.
 */
export const GCRA_LUA = `
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local full = redis.call('MGET', unpack(KEYS))
for k = 1, #KEYS do full[k] = math.max(now, tonumber(full[k]) or now) end
local amount = {}
for a = 1, #ARGV do amount[a] = tonumber(ARGV[a]) end
local charged, answer, at, a = {}, {}, 0, 1
while a <= #amount do
  local n, count, wait = amount[a], amount[a + 1], 0
  if count > 0 then
    for b = a + 2, a + 1 + 3 * n, 3 do
      wait = math.max(wait, full[amount[b]] + amount[b + 1] * (count - amount[b + 2]) - now)
    end
  end
  at = at + 1
  answer[at] = wait
  for b = a + 2, a + 1 + 3 * n, 3 do
    local k = amount[b]
    if wait == 0 then
      full[k] = math.max(now, full[k] + amount[b + 1] * count)
      charged[k] = true
    end
    at = at + 1
    answer[at] = full[k] - now
  end
  a = a + 3 * n + 2
end
for k in pairs(charged) do
  if full[k] > now then
    redis.call('SET', KEYS[k], string.format('%.0f', full[k]), 'PX', math.ceil((full[k] - now) / 1000))
  else
    redis.call('DEL', KEYS[k])
  end
end
return answer`;

/** The arguments of the script for several requests: how many keys, the keys, and the rest. */
export function scriptArguments(requests: readonly CountedCharge[]): (string | number)[] {
  const places = new Map<string, number>();
  const amounts: number[] = [];
  for (const { charges, count } of requests) {
    amounts.push(charges.length, count);
    for (const { key, intervalUs, quota } of charges) {
      let place = places.get(key);
      if (place === undefined) places.set(key, (place = places.size + 1));
      amounts.push(place, intervalUs, quota);
    }
  }
  return [places.size, ...places.keys(), ...amounts];
}

/** Reads the script's answer to the same requests. */
export function readAnswers(requests: readonly CountedCharge[], answer: readonly number[]): Verdict[] {
  let at = 0;
  return requests.map(({ charges, count }) => {
    const waitUs = answer[at] ?? 0;
    const buckets = charges.map(({ intervalUs, quota }, place) => {
      const fullInUs = answer[at + place + 1] ?? 0;
      return { remaining: Math.max(0, quota - Math.ceil(fullInUs / intervalUs)), fullInUs };
    });
    at += charges.length + 1;
    if (waitUs === 0) return { waitUs, refusedBy: null, buckets };
    const waits = charges.map(
      ({ intervalUs, quota }, place) => (buckets[place]?.fullInUs ?? 0) + intervalUs * (count - quota),
    );
    return { waitUs, refusedBy: waits.indexOf(Math.max(...waits)), buckets };
  });
}
