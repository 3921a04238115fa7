/*
 * circuit-breaker.ts and parking.ts once more, in Redis, so that all processes keep one state and each report is one round trip.
 * Test: health-redis.test.ts plays random reports to both and compares.
 */

/** Shared by the scripts: the clock (ARGV[1], or Redis's own when 0) and the states. An empty table is an object in both directions. */
const COMMON = `
local now = tonumber(ARGV[1])
if now == 0 then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
local function read(key)
  local text = redis.call('GET', key)
  if text then return cjson.decode(text) end
  return { window = {}, row = 0, rowJob = '', isRowOfTwo = false, openUntil = 0, opens = 0, probeUntil = 0, probes = 0, closedAt = 0, models = {} }
end
local function write(key, state)
  redis.call('SET', key, cjson.encode(state), 'PX', math.max(600000, state.openUntil - now + 600000))
end
`;

/** KEYS: the breakers to read, then the parking of keys, then the samples. ARGV: now, breakers, the last sample known, how many at most. */
export const READ_LUA = `${COMMON}
local count = tonumber(ARGV[2])
local answer = { now, {}, {}, {} }
if #KEYS > 1 then
  local states = redis.call('MGET', unpack(KEYS, 1, #KEYS - 1))
  for i = 1, #KEYS - 1 do
    local list = answer[i <= count and 2 or 3]
    list[#list + 1] = states[i] or ''
  end
end
local samples = KEYS[#KEYS]
local found
if ARGV[3] == '' then
  local latest = redis.call('XREVRANGE', samples, '+', '-', 'COUNT', ARGV[4])
  found = {}
  for i = #latest, 1, -1 do found[#found + 1] = latest[i] end
else
  found = redis.call('XRANGE', samples, '(' .. ARGV[3], '+', 'COUNT', ARGV[4])
end
for _, entry in ipairs(found) do
  table.insert(answer[4], entry[1])
  table.insert(answer[4], entry[2][2])
end
return answer`;

/** KEYS: the model's breaker, its provider's. Returns 1 when the caller may go. */
export const PROBE_LUA = `${COMMON}
local states = { read(KEYS[1]), read(KEYS[2]) }
for _, state in ipairs(states) do
  if state.openUntil > now or (state.openUntil > 0 and state.probeUntil > now) then return 0 end
end
for i, state in ipairs(states) do
  if state.openUntil > 0 then
    state.probeUntil = now + 60000
    write(KEYS[i], state)
  end
end
return 1`;

/**
 * KEYS: the model's breaker, its provider's, the samples, then the parkings that change. ARGV: now, the model, outcome, weight, isSlow,
 * jobId, jitter, the sample, then for each parking the field, the milliseconds (0: lift it), the reason. Returns nothing.
 */
export const REPORT_LUA = `${COMMON}
local model, outcome, weight, isSlow, jobId, jitter = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1', ARGV[6], tonumber(ARGV[7])
local function phase(state)
  if state.openUntil > now then return 'open' end
  if state.openUntil > 0 then return 'half_open' end
  return 'closed'
end
local function open(state)
  local opens = state.opens
  if now - state.closedAt > 300000 and state.openUntil == 0 then opens = 0 end
  state.openUntil = now + math.floor(math.min(300000, 5000 * 2 ^ opens) * (0.8 + 0.4 * jitter))
  state.opens = math.min(20, opens + 1)
  state.probeUntil, state.probes, state.window = 0, 0, {}
  state.row, state.rowJob, state.isRowOfTwo = 0, '', false
end
local function close(state)
  state.openUntil, state.closedAt, state.probes, state.probeUntil, state.window, state.models = 0, now, 0, 0, {}, {}
end
local function halfOpen(state)
  if outcome == 'fault' then return open(state) end
  state.probeUntil, state.probes = 0, state.probes + 1
  if state.probes >= 3 then close(state) end
end
local function count(state)
  local at = phase(state)
  if outcome == 'neutral' then
    if at == 'half_open' then state.probeUntil = 0 end
    return
  end
  if at == 'open' then return end
  if at == 'half_open' then return halfOpen(state) end
  local name = string.format('%.0f', math.floor(now / 3000))
  local counts = state.window[name] or { 0, 0, 0 }
  state.window[name] = counts
  counts[1] = counts[1] + 1
  if isSlow then counts[3] = counts[3] + 1 end
  if outcome == 'fault' then
    counts[2] = counts[2] + weight
    state.row = state.row + weight
    if state.rowJob == '' then state.rowJob = jobId elseif state.rowJob ~= jobId then state.isRowOfTwo = true end
  else
    state.row, state.rowJob, state.isRowOfTwo = 0, '', false
  end
  local step, part = math.floor(now / 3000), 1 - (now % 3000) / 3000
  local calls, faults, slow = 0, 0, 0
  for other, n in pairs(state.window) do
    local age = step - tonumber(other)
    if age > 10 then
      state.window[other] = nil
    else
      local share = age == 10 and part or 1
      calls, faults, slow = calls + n[1] * share, faults + n[2] * share, slow + n[3] * share
    end
  end
  local bad = calls >= 10 and (faults >= 0.5 * calls or slow >= 0.8 * calls)
  if bad or (state.row >= 5 and state.isRowOfTwo) then open(state) end
end
local child, parent = read(KEYS[1]), read(KEYS[2])
count(child)
write(KEYS[1], child)
local before = cjson.encode(parent)
local open_models = 0
for name, until_ in pairs(parent.models) do
  if until_ + 60000 < now then parent.models[name] = nil end
end
if child.openUntil > 0 then parent.models[model] = child.openUntil else parent.models[model] = nil end
for _ in pairs(parent.models) do open_models = open_models + 1 end
local at = phase(parent)
if at == 'half_open' then count(parent)
elseif at ~= 'open' and open_models >= 3 then open(parent) end
if cjson.encode(parent) ~= before then write(KEYS[2], parent) end
for i = 4, #KEYS do
  local a = 9 + (i - 4) * 3
  local field, ms, reason = ARGV[a], tonumber(ARGV[a + 1]), ARGV[a + 2]
  local text = redis.call('GET', KEYS[i])
  local parked = text and cjson.decode(text) or {}
  if ms == 0 then
    parked[field] = nil
  else
    local known = parked[field]
    local times = known and known.reason == reason and math.min(20, known.times + 1) or 1
    local wait = ms
    if reason == 'quota_exhausted' or reason == 'auth' then wait = math.min(86400000, ms * 4 ^ (times - 1)) end
    parked[field] = { ['until'] = now + wait, reason = reason, times = times }
  end
  local last = 0
  for _, one in pairs(parked) do last = math.max(last, one['until']) end
  if last == 0 then redis.call('DEL', KEYS[i])
  else redis.call('SET', KEYS[i], cjson.encode(parked), 'PX', math.max(1, last - now) + 86400000) end
end
if ARGV[8] ~= '' then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', 2000, '*', 's', ARGV[8])
  redis.call('PEXPIRE', KEYS[3], 600000)
end
return 1`;
