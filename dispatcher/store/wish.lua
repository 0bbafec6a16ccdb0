-- The wish to have cancelled what carriers have accepted of a message, unless enough are open, of its account or of all.
-- KEYS    1 open wishes, 2 those of the account, 3 ended ones
-- ARGV    1 message id, 2 now, 3 the age in ms at which one is forgotten, 4 most of an account, 5 most of all
-- result  1: it is open, 0: too many are
-- repeat  it is open by then, and counts once
local old = ARGV[2] - ARGV[3]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', old)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', old)
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) or redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[5]) then
    return 0
  end
end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
