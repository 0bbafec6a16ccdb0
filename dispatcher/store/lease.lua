-- S9: takes a lease that is free or already ours, raises its fence and notes who took it.
-- KEYS    1 lease, 2 fence, 3 engines
-- ARGV    1 nonce, 2 life in ms, 3 name, 4 token of this taking
-- result  the new fence, 0: somebody lives
-- repeat  the lease is ours by then; the fence is raised once more
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[3], ARGV[3], ARGV[4])
return redis.call('INCR', KEYS[2])
