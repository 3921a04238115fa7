import type { Redis } from 'ioredis';

// KEYS[1] the stream. ARGV: 1 life in ms, 2 channel, 3 drop entries before this id, or '', then pairs of entry id and sealed frame.
// Answers the entries written (those that were there already, from a call that is repeated, count as none); -1 when refused: a later
// attempt has written.
const EMIT = `
local count = 0
for i = 4, #ARGV, 2 do
  local written = redis.pcall('XADD', KEYS[1], ARGV[i], 'f', ARGV[i + 1])
  if type(written) == 'table' and written.err then
    local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
    if #last == 0 then return redis.error_reply(written.err) end
    local lastAttempt = tonumber(string.match(last[1][1], '^(%d+)-'))
    local attempt = tonumber(string.match(ARGV[i], '^(%d+)-'))
    if lastAttempt > attempt then return -1 end
    if not string.find(written.err, 'equal or smaller', 1, true) then return redis.error_reply(written.err) end
  else
    count = count + 1
    redis.call('PUBLISH', ARGV[2], ARGV[i] .. '|' .. ARGV[i + 1])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if ARGV[3] ~= '' then redis.call('XTRIM', KEYS[1], 'MINID', ARGV[3]) end
return count`;

interface Emitting extends Redis {
  streamEmit(
    key: string,
    lifeMs: number,
    channel: string,
    trimBefore: string,
    ...entries: (string | Buffer)[]
  ): Promise<number>;
}

export type Emitted = 'written' | 'repeated' | 'fenced';

export interface Emission {
  key: string;
  channel: string;
  /** Ids must rise. */
  entries: { id: string; frame: Buffer }[];
  lifeMs: number;
  /** Entries below this id are dropped, where it is set. */
  trimBefore?: string | undefined;
}

/** @returns a function that appends entries to a stream and tells its listeners, in one round trip; repeating it is harmless. */
export function createEmit(redis: Redis): (emission: Emission) => Promise<Emitted> {
  redis.defineCommand('streamEmit', { numberOfKeys: 1, lua: EMIT });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- defineCommand has just added it
  const emitting = redis as Emitting;
  return async (emission) => {
    const { key, entries, lifeMs, channel, trimBefore } = emission;
    const pairs = entries.flatMap(({ id, frame }) => [id, frame]);
    const written = await emitting.streamEmit(key, lifeMs, channel, trimBefore ?? '', ...pairs);
    return written > 0 ? 'written' : written === 0 ? 'repeated' : 'fenced';
  };
}
