-- S8: members of the due set whose time has come join their queues.
-- KEYS    1 due, 2 rings
-- ARGV    1 now, 2 limit, 3 beginning of the partition's keys
-- result  how many moved
-- repeat  moved members are gone from the set
local members = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', '0', ARGV[2])
if #members == 0 then
  return 0
end
local base, families = ARGV[3], {}
for i = 1, #members do
  local queue, id = string.sub(members[i], 1, -28), string.sub(members[i], -26)
  local family, account = string.match(queue, '^(.*):([^:]*)$')
  redis.call('RPUSH', base .. 'q:' .. queue, 'r' .. id)
  redis.call('ZADD', base .. 'ring:' .. family, 'NX', ARGV[1], account)
  families[family] = true
end
for family in pairs(families) do
  redis.call('SADD', KEYS[2], family)
end
redis.call('ZREM', KEYS[1], unpack(members))
return #members
