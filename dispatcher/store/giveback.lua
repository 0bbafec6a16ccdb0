-- Sweeper: an admission that took money and never enqueued, or a group that was never published, is undone.
-- KEYS    1 holds
-- ARGV    1 transaction or group id, 2 beginning of the partition's keys
-- result  1 given back, 0 there is no such hold, -1 the group is live
-- repeat  0
local hold = redis.call('HGET', KEYS[1], ARGV[1])
if not hold then
  return 0
end
local lines = {}
for line in string.gmatch(hold, '[^\n]+') do
  lines[#lines + 1] = line
end
local base = ARGV[2]
if lines[1] == 'g' then
  local group = base .. 'group:' .. ARGV[1]
  if redis.call('HGET', group, 'state') ~= 'staging' then
    return -1
  end
  redis.call('HSET', group, 'state', 'void')
  redis.call('UNLINK', base .. 'stage:' .. ARGV[1], base .. 'numbers:' .. ARGV[1])
else
  -- a sleeping process can no longer enqueue what it took this money for
  redis.call('INCR', base .. 'open:' .. lines[3])
  redis.call('EXPIRE', base .. 'open:' .. lines[3], 604800)
end
local n = tonumber(lines[5])
for i = 6, 5 + 2 * n, 2 do
  redis.call('HINCRBY', base .. 'acct:' .. lines[i], 'avail', lines[i + 1])
end
local idem = base .. 'idem:' .. lines[4]
for i = 6 + 2 * n, #lines do
  if redis.call('HGET', idem, lines[i]) == 'p' .. ARGV[1] then
    redis.call('HDEL', idem, lines[i])
  end
end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
