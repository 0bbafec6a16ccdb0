-- Takes parked notices, by their ids, to where the working process takes them back from.
-- KEYS    1 parked, 2 parked by time, 3 again, 4 counts
-- ARGV    ids of notices
-- result  how many were parked
-- repeat  they are not parked any more: 0
local found = 0
for i = 1, #ARGV do
  local notice = redis.call('HGET', KEYS[1], ARGV[i])
  if notice then
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('RPUSH', KEYS[3], notice)
    found = found + 1
  end
  redis.call('ZREM', KEYS[2], ARGV[i])
end
if found > 0 then
  redis.call('HINCRBY', KEYS[4], 'parked', -found)
  redis.call('HINCRBY', KEYS[4], 'waiting', found)
end
return found
