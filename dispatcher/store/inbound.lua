-- Handsets' messages: each with its row, its place in an inbox, opt-outs, and its parts turned into digests; or nothing of it.
-- KEYS    1 done
-- ARGV    1 number of this batch on its line, 2 beginning of the partition's keys, 3 now, 4 newest messages kept per account,
--         5 columns, 6 digests kept at most, then per message: name of its parts ('': none), how many, carrier, their digests,
--         account, row, number of changes, and per change: account, number's hash, sender, '1' out or '0' in
-- result  per message 1 written, 0 its parts are not those that wait; 1 alone: this batch was applied before
-- repeat  the number
local number, base, at, most = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
if tonumber(redis.call('GET', KEYS[1]) or '0') >= number then
  return 1
end

local function take_parts(name, count, carrier, digests)
  local key = base .. 'parts:' .. name
  local have = redis.call('HLEN', key)
  if have ~= count then
    if have == 0 then
      redis.call('ZREM', base .. 'complete', name)
    end
    return false
  end
  redis.call('DEL', key)
  redis.call('ZREM', base .. 'waiting', name)
  redis.call('ZREM', base .. 'waiting:' .. carrier, name)
  redis.call('ZREM', base .. 'complete', name)
  redis.call('HINCRBY', base .. 'partcounts', carrier, -count)
  redis.call('HSET', base .. 'joined', name, digests)
  redis.call('ZADD', base .. 'joinedat', at, name)
  return true
end

local function into_inbox(account, row)
  local key, unread = base .. 'inbox:' .. account, base .. 'unread:' .. account
  local place = redis.call('HINCRBY', base .. 'inboxes', account, 1)
  redis.call('ZADD', key, place, row)
  redis.call('ZADD', unread, place, place)
  local over = redis.call('ZCARD', key) - most
  if over > 0 then
    redis.call('ZREMRANGEBYRANK', key, 0, over - 1)
    redis.call('ZREMRANGEBYSCORE', unread, '-inf', '(' .. redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
  end
end

local function change(account, to_hash, sender, out)
  local key, money = base .. 'optouts:' .. account, base .. 'acct:' .. account
  if redis.call('EXISTS', money) == 0 then
    return
  end
  local lines = '\n' .. (redis.call('HGET', key, to_hash) or '')
  local first, last = string.find(lines, '\n' .. sender .. '\n', 1, true)
  local new = lines
  if out == '1' and not first then
    new = lines .. sender .. '\n'
  elseif out == '0' and sender == '' then
    new = '\n'
  elseif out == '0' and first then
    new = string.sub(lines, 1, first) .. string.sub(lines, last + 1)
  end
  if new == '\n' then
    redis.call('HDEL', key, to_hash)
  elseif new ~= lines then
    redis.call('HSET', key, to_hash, string.sub(new, 2))
  end
  redis.call('HSET', money, 'optouts', redis.call('HLEN', key))
end

local out, i = {}, 7
while i <= #ARGV do
  local name, count, carrier, digests, account, row, changes = unpack(ARGV, i, i + 6)
  i = i + 7
  local written = name == '' or take_parts(name, tonumber(count), carrier, digests)
  if written then
    redis.call('XADD', base .. 'inbound', '*', 'v', '1', 'cols', ARGV[5], 'rows', '\145' .. row)
    if account ~= '' then
      into_inbox(account, row)
    end
  end
  for _ = 1, tonumber(changes) do
    if written then
      change(unpack(ARGV, i, i + 3))
    end
    i = i + 4
  end
  out[#out + 1] = written and 1 or 0
end
local over = redis.call('ZCARD', base .. 'joinedat') - tonumber(ARGV[6])
if over > 0 then
  local oldest = redis.call('ZPOPMIN', base .. 'joinedat', math.min(over, 500))
  for n = 1, #oldest, 2 do
    redis.call('HDEL', base .. 'joined', oldest[n])
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 604800)
return out
