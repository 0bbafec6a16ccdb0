-- Appends notices to their messages' lists and moves the cursor of `events`, all under the fence.
-- KEYS    1 fence, 2 cursor, 3 targets, 4 counts, 5 parked, 6 parked by time
-- ARGV    1 fence value, 2 cursor before, 3 cursor after, 4 beginning of the partition's keys,
--         5 messages that may wait for one target, beyond which those of further messages are parked, 6 parked kept at most,
--         then per notice: message id, target, ms at which its target wants to be looked at, ms of the event, its id, the notice
-- result  1 applied, 0 fence moved or the cursor is elsewhere
-- repeat  the cursor is at `after` by then: 1, nothing is appended again
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local cursor = redis.call('GET', KEYS[2]) or ''
if cursor ~= ARGV[2] then
  return cursor == ARGV[3] and 1 or 0
end
local base, messages_max, waiting, parked = ARGV[4], tonumber(ARGV[5]), 0, 0
for i = 7, #ARGV, 6 do
  local list, due = base .. 'notice:' .. ARGV[i], base .. 'notices:due:' .. ARGV[i + 1]
  if redis.call('EXISTS', list) == 1 then
    redis.call('RPUSH', list, ARGV[i + 5])
    waiting = waiting + 1
  elseif redis.call('ZCARD', due) < messages_max then
    redis.call('RPUSH', list, ARGV[i + 5])
    redis.call('ZADD', due, ARGV[i + 3], ARGV[i])
    redis.call('ZADD', KEYS[3], 'LT', ARGV[i + 2], ARGV[i + 1])
    waiting = waiting + 1
  else
    parked = parked + redis.call('HSET', KEYS[5], ARGV[i + 4], ARGV[i + 5])
    redis.call('ZADD', KEYS[6], ARGV[i + 3], ARGV[i + 4])
  end
end
if parked > 0 then
  local over = redis.call('ZCARD', KEYS[6]) - tonumber(ARGV[6])
  if over > 0 then
    local old = redis.call('ZPOPMIN', KEYS[6], math.min(over, 1000))
    for i = 1, #old, 2 do
      parked = parked - redis.call('HDEL', KEYS[5], old[i])
    end
  end
end
if waiting ~= 0 then
  redis.call('HINCRBY', KEYS[4], 'waiting', waiting)
end
if parked ~= 0 then
  redis.call('HINCRBY', KEYS[4], 'parked', parked)
end
redis.call('SET', KEYS[2], ARGV[3])
return 1
