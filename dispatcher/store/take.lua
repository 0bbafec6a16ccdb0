-- Tries uses of limits: what one send takes is counted whole or not at all, each in all of its spans.
-- KEYS    1 marker of the line
-- ARGV    1 number of this call on its line, 2 now, 3 beginning of the partition's keys, then per send: the number of its
--         takes, and per take: subject, token, amount, number of spans, and seconds and limit of each
-- result  a word per send: '.' granted, or 'index,wait in ms,span' of the take that was refused
-- repeat  the number: answers as the first time; overtaken by a later call: nil
-- Theory  Up to 1000 in a span, each use is a member of a set, exact. Above, a span is 60 counters and the one that is just
--         leaving counts whole. Time never comes from the server: expiry only clears away what nobody asks for any more.
local SLOTS, LOG_LIMIT_MAX, KEPT_S = 60, 1000, 3600
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

local function members(token, amount)
  local out = {token}
  for j = 2, amount do
    out[j] = token .. ' ' .. j
  end
  return out
end

local function log_wait(uses, span, limit, amount)
  if amount > limit then
    return span * 1000
  end
  local nth = redis.call('ZRANGE', uses, amount - limit - 1, amount - limit - 1, 'WITHSCORES')
  return nth[2] and math.max(0, tonumber(nth[2]) + span * 1000 - at) or 0
end

-- Names of a span's counters, oldest first; made once per call, which asks for the same ones of many subjects.
local made = {}
local function names_of(span, first, last)
  local key = span .. ':' .. text(first) .. ':' .. text(last)
  local out = made[key]
  if out then
    return out
  end
  out = {}
  made[key] = out
  for n = first, last do
    out[#out + 1] = span .. ':' .. text(n)
  end
  return out
end

-- The counters of a span: width, newest slot, sum of what still counts. Lets go of those that have left since.
local function counters(sums, span)
  local width = math.ceil(span * 1000 / SLOTS)
  local slot = math.floor(at / width)
  local row = redis.call('HMGET', sums, span .. 'k', span .. 't')
  local last, total = tonumber(row[1] or '-1'), tonumber(row[2] or '0')
  if slot > last and total > 0 then
    local names = names_of(span, last - SLOTS, math.min(last, slot - SLOTS - 1))
    for _, n in ipairs(redis.call('HMGET', sums, unpack(names))) do
      total = total - (n and tonumber(n) or 0)
    end
    redis.call('HDEL', sums, unpack(names))
    redis.call('HSET', sums, span .. 'k', text(slot), span .. 't', text(total))
  end
  return {span = span, width = width, slot = math.max(slot, last), total = total}
end

local read = {} -- counters of subjects that were refused in this call: an attack asks for the same ones again and again
local function sum_wait(sums, c, limit, amount)
  if c.total + amount <= limit then
    return 0
  end
  local total = c.total
  local name = sums .. ' ' .. c.span
  local slots = read[name] or redis.call('HMGET', sums, unpack(names_of(c.span, c.slot - SLOTS, c.slot)))
  read[name] = slots
  for j = 1, SLOTS + 1 do
    if slots[j] then
      total = total - tonumber(slots[j])
      if total + amount <= limit then
        return math.max(1, (c.slot + j) * c.width - at)
      end
    end
  end
  return c.span * 1000
end

-- One take at ARGV[i]: its wait and span, and what it counted.
local function take(i)
  local uses, sums = base .. 'uses:' .. ARGV[i], base .. 'sums:' .. ARGV[i]
  local token, amount = ARGV[i + 1], tonumber(ARGV[i + 2])
  local log_s, sums_s, wait, span, large = 0, 0, 0, 0, {}
  local known = nil
  for j = i + 4, i + 3 + 2 * tonumber(ARGV[i + 3]), 2 do
    local s, limit = tonumber(ARGV[j]), tonumber(ARGV[j + 1])
    local w
    if limit <= LOG_LIMIT_MAX then
      if known == nil then
        known = redis.call('ZSCORE', uses, token)
        if known then
          return 0, 0, nil
        end
      end
      log_s, w = math.max(log_s, s), log_wait(uses, s, limit, amount)
    else
      local c = counters(sums, s)
      large[#large + 1] = c
      sums_s, w = math.max(sums_s, s), sum_wait(sums, c, limit, amount)
    end
    if w > wait then
      wait, span = w, s
    end
  end
  if wait > 0 then
    return wait, span, nil
  end
  local done = {sums = sums, amount = amount, large = large}
  if log_s > 0 then
    redis.call('ZREMRANGEBYSCORE', uses, '-inf', text(at - log_s * 1000))
    local added, names = {}, members(token, amount)
    for j = 1, #names do
      added[2 * j - 1], added[2 * j] = ARGV[2], names[j]
    end
    redis.call('ZADD', uses, unpack(added))
    redis.call('EXPIRE', uses, log_s + KEPT_S)
    done.uses, done.members = uses, names
  end
  for _, c in ipairs(large) do
    read[sums .. ' ' .. c.span] = nil
    redis.call('HSET', sums, c.span .. 'k', text(c.slot), c.span .. 't', text(c.total + amount))
    redis.call('HINCRBY', sums, c.span .. ':' .. text(c.slot), text(amount))
  end
  if sums_s > 0 then
    redis.call('EXPIRE', sums, 2 * sums_s + KEPT_S)
  end
  return 0, 0, done
end

local function undo(done)
  if done.uses then
    redis.call('ZREM', done.uses, unpack(done.members))
  end
  for _, c in ipairs(done.large) do
    read[done.sums .. ' ' .. c.span] = nil
    redis.call('HINCRBY', done.sums, c.span .. ':' .. text(c.slot), text(-done.amount))
    redis.call('HINCRBY', done.sums, c.span .. 't', text(-done.amount))
  end
end

local out, i = {}, 4
while i <= #ARGV do
  local count, dones, word = tonumber(ARGV[i]), {}, '.'
  i = i + 1
  for index = 0, count - 1 do
    if word == '.' then
      local wait, span, done = take(i)
      if wait > 0 then
        word = index .. ',' .. text(wait) .. ',' .. span
        for j = #dones, 1, -1 do
          undo(dones[j])
        end
      elseif done then
        dones[#dones + 1] = done
      end
    end
    i = i + 4 + 2 * tonumber(ARGV[i + 3])
  end
  out[#out + 1] = word
end
local reply = table.concat(out, ' ')
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. reply, 'EX', 604800)
return reply
