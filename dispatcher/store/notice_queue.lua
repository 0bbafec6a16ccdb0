-- Appends notices to their messages' lists and moves the cursor of `events`, all under the fence.
-- KEYS    1 fence, 2 cursor, 3 targets, 4 counts
-- ARGV    1 fence value, 2 cursor before, 3 cursor after, 4 beginning of the partition's keys,
--         then per notice: message id, target, ms at which its target wants to be looked at, ms of the event, the notice
-- result  1 applied, 0 fence moved or the cursor is elsewhere
-- repeat  the cursor is at `after` by then: 1, nothing is appended again
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local cursor = redis.call('GET', KEYS[2]) or ''
if cursor ~= ARGV[2] then
  return cursor == ARGV[3] and 1 or 0
end
local base, waiting = ARGV[4], 0
for i = 5, #ARGV, 5 do
  if redis.call('RPUSH', base .. 'notice:' .. ARGV[i], ARGV[i + 4]) == 1 then
    redis.call('ZADD', base .. 'notices:due:' .. ARGV[i + 1], ARGV[i + 3], ARGV[i])
    redis.call('ZADD', KEYS[3], 'LT', ARGV[i + 2], ARGV[i + 1])
  end
  waiting = waiting + 1
end
if waiting > 0 then
  redis.call('HINCRBY', KEYS[4], 'waiting', waiting)
end
redis.call('SET', KEYS[2], ARGV[3])
return 1
