-- Writes and forgets keys of one account if none of them was written since.
-- KEYS    1 API keys, 2 versions
-- ARGV    1 account, 2 version seen, 3 how many go, their ids, then id and record of each key
-- result  1, or 0: somebody was faster
-- repeat  0: the first has raised the version
if tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0') ~= tonumber(ARGV[2]) then
  return 0
end
redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
local first = 4 + tonumber(ARGV[3])
for i = 4, first - 1 do
  redis.call('HDEL', KEYS[1], ARGV[i])
end
for i = first, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
return 1
