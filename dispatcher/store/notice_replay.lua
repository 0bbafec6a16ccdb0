-- Takes requeued notices back into their messages' lists, or forgets them, under the fence.
-- KEYS    1 fence, 2 again, 3 targets, 4 counts
-- ARGV    1 fence value, 2 beginning of the partition's keys, 3 now,
--         then per notice: as it was, message id, target, as it is tried anew ('': forgotten)
-- result  1 applied, 0 fence moved
-- repeat  a notice that is not the first of `again` any more is left alone
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local base = ARGV[2]
for i = 4, #ARGV, 4 do
  if redis.call('LINDEX', KEYS[2], 0) == ARGV[i] then
    redis.call('LPOP', KEYS[2])
    if ARGV[i + 3] == '' then
      redis.call('HINCRBY', KEYS[4], 'waiting', -1)
    elseif redis.call('RPUSH', base .. 'notice:' .. ARGV[i + 1], ARGV[i + 3]) == 1 then
      redis.call('ZADD', base .. 'notices:due:' .. ARGV[i + 2], ARGV[3], ARGV[i + 1])
      redis.call('ZADD', KEYS[3], 'LT', ARGV[3], ARGV[i + 2])
    end
  end
end
return 1
