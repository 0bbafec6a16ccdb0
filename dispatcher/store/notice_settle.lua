-- Applies what became of tries, under the fence. A notice that is not the first of its list any more is left alone.
-- KEYS    1 fence, 2 targets, 3 counts, 4 parked, 5 parked by time
-- ARGV    1 fence value, 2 beginning of the partition's keys, 3 parked notices kept at most, 4 number of notices,
--         per notice: message id, target, the notice as it was, fate (gone, later, parked), ms, its id, the notice as kept;
--         then per target: its name, ms before which it is not to be looked at
-- result  1 applied, 0 fence moved
-- repeat  what has been settled is not the first any more, or not the same
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local base, first_target = ARGV[2], 5 + 7 * tonumber(ARGV[4])
local waiting, parked = 0, 0
for i = 5, first_target - 1, 7 do
  local id, list, due = ARGV[i], base .. 'notice:' .. ARGV[i], base .. 'notices:due:' .. ARGV[i + 1]
  local fate = ARGV[i + 3]
  if redis.call('LINDEX', list, 0) == ARGV[i + 2] then
    if fate == 'later' then
      redis.call('LSET', list, 0, ARGV[i + 6])
      redis.call('ZADD', due, ARGV[i + 4], id)
    else
      redis.call('LPOP', list)
      waiting = waiting - 1
      if fate == 'parked' then
        parked = parked + redis.call('HSET', KEYS[4], ARGV[i + 5], ARGV[i + 6])
        redis.call('ZADD', KEYS[5], ARGV[i + 4], ARGV[i + 5])
      end
      if redis.call('EXISTS', list) == 1 then
        redis.call('ZADD', due, ARGV[i + 4], id)
      else
        redis.call('ZREM', due, id)
      end
    end
  end
end
if parked > 0 then
  local over = redis.call('ZCARD', KEYS[5]) - tonumber(ARGV[3])
  if over > 0 then
    local old = redis.call('ZPOPMIN', KEYS[5], math.min(over, 1000))
    for i = 1, #old, 2 do
      parked = parked - redis.call('HDEL', KEYS[4], old[i])
    end
  end
end
if waiting ~= 0 then
  redis.call('HINCRBY', KEYS[3], 'waiting', waiting)
end
if parked ~= 0 then
  redis.call('HINCRBY', KEYS[3], 'parked', parked)
end
for i = first_target, #ARGV, 2 do
  local first = redis.call('ZRANGE', base .. 'notices:due:' .. ARGV[i], 0, 0, 'WITHSCORES')
  if #first == 0 then
    redis.call('ZREM', KEYS[2], ARGV[i])
  else
    redis.call('ZADD', KEYS[2], math.max(tonumber(first[2]), tonumber(ARGV[i + 1])), ARGV[i])
  end
end
return 1
