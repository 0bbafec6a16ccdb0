-- Undoes uses of limits: by token where there is a set of them, else out of the oldest counters, so that what remains
-- counts for as long as it must, or longer.
-- KEYS    1 marker of the line
-- ARGV    1 number of this call on its line, 2 now, 3 beginning of the partition's keys, then per take: subject, token,
--         amount, number of spans, and seconds and limit of each
-- result  'ok'
-- repeat  the number: does nothing more; overtaken by a later call: nil
local SLOTS, LOG_LIMIT_MAX = 60, 1000
local seen = redis.call('GET', KEYS[1])
if seen then
  local number, reply = string.match(seen, '^(%d+) (.*)$')
  if tonumber(number) >= tonumber(ARGV[1]) then
    return number == ARGV[1] and reply or false
  end
end
local at, base = tonumber(ARGV[2]), ARGV[3]

local function text(n)
  return string.format('%.0f', n)
end

local function lower(sums, span, amount)
  local last = tonumber(redis.call('HGET', sums, span .. 'k') or '-1')
  local names = {}
  for n = math.max(last, math.floor(at / math.ceil(span * 1000 / SLOTS))) - SLOTS, last do
    names[#names + 1] = span .. ':' .. text(n)
  end
  if #names == 0 then
    return
  end
  for j, n in ipairs(redis.call('HMGET', sums, unpack(names))) do
    local some = math.min(amount, n and tonumber(n) or 0)
    if some > 0 then
      redis.call('HINCRBY', sums, names[j], text(-some))
      redis.call('HINCRBY', sums, span .. 't', text(-some))
      amount = amount - some
    end
  end
end

local i = 4
while i <= #ARGV do
  local token, amount, spans = ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local small, large = false, {}
  for j = i + 4, i + 3 + 2 * spans, 2 do
    if tonumber(ARGV[j + 1]) <= LOG_LIMIT_MAX then
      small = true
    else
      large[#large + 1] = tonumber(ARGV[j])
    end
  end
  local counted = true
  if small then
    local names = {token}
    for j = 2, math.min(amount, LOG_LIMIT_MAX) do
      names[j] = token .. ' ' .. j
    end
    counted = redis.call('ZREM', base .. 'uses:' .. ARGV[i], unpack(names)) > 0
  end
  if counted then
    for _, span in ipairs(large) do
      lower(base .. 'sums:' .. ARGV[i], span, amount)
    end
  end
  i = i + 4 + 2 * spans
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ok', 'EX', 604800)
return 'ok'
