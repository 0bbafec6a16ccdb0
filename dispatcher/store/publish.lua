-- S2 (c): a complete group becomes visible through one pointer per queue.
-- KEYS    1 group, 2 holds, 3 account, 4 expanding, 5 pointers, 6 rings, 7 idem of its period, 8 charges, 9 tickets of its bucket,
--         10 aliases of its day, 11 days that have aliases
-- ARGV    1 group id, 2 beginning of the partition's keys, 3 account, 4 sum, 5 now, 6 key field or '', 7 its value,
--         8 columns and 9 rows of the reserve fact ('' none), 10 ticket ('' none), 11 its alias ('' none), 12 that day, 13 how
--         long the key's hash lives, s, then the families route:lane
-- result  1 live, 0 not staging or not complete
-- repeat  a live group answers 1
local row = redis.call('HMGET', KEYS[1], 'state', 'stored', 'blobs')
if row[1] == 'live' then
  return 1
end
if row[1] ~= 'staging' or row[2] ~= row[3] then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'live')
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HINCRBY', KEYS[3], 'reserved', ARGV[4])
redis.call('SADD', KEYS[4], ARGV[1])
for i = 14, #ARGV do
  redis.call('RPUSH', ARGV[2] .. 'q:' .. ARGV[i] .. ':' .. ARGV[3], '@' .. ARGV[1])
  redis.call('ZADD', ARGV[2] .. 'ring:' .. ARGV[i], 'NX', ARGV[5], ARGV[3])
  redis.call('SADD', KEYS[5], ARGV[1] .. ' ' .. ARGV[i])
  redis.call('SADD', KEYS[6], ARGV[i])
end
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[7], ARGV[6], ARGV[7])
  redis.call('EXPIRE', KEYS[7], ARGV[13])
end
if ARGV[10] ~= '' then
  redis.call('HSET', KEYS[9], ARGV[1], ARGV[10])
  if ARGV[11] ~= '' then
    redis.call('HSET', KEYS[10], ARGV[11], ARGV[1])
    redis.call('SADD', KEYS[11], ARGV[12])
  end
end
if ARGV[9] ~= '' then
  redis.call('XADD', KEYS[8], '*', 'v', '1', 'cols', ARGV[8], 'rows', ARGV[9])
end
return 1
