-- Is this fence still ours, under whatever number? Raised on demand, so that what travels on a dead connection dies.
-- KEYS    1 fence, 2 engines
-- ARGV    1 name, 2 token of the taking ('': compare the number), 3 number, 4 '1': raise it
-- result  the fence's number now, 0: not ours
-- repeat  raises once more, which harms nobody
local fence = redis.call('GET', KEYS[1])
local ours = fence == ARGV[3]
if ARGV[2] ~= '' then
  ours = redis.call('HGET', KEYS[2], ARGV[1]) == ARGV[2]
end
if not ours then
  return 0
end
if ARGV[4] == '1' and ARGV[2] ~= '' then
  return redis.call('INCR', KEYS[1])
end
return tonumber(fence)
