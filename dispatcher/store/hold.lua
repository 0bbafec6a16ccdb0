-- S2 (a): one debit for a whole group, which is staging from then on.
-- KEYS    1 holds, 2 group, 3 account, 4 idem of this period, 5 of the one before, 6 groups of the bucket
-- ARGV    1 group id, 2 hold record, 3 debit (0 or negative), 4 key field or '', then the group's fields and values
-- result  {'state', state} | {'key', known value} | {'unknown'} | {'poor', avail} | {'held', avail}
-- repeat  the group's id: answers the stored state
local state = redis.call('HGET', KEYS[2], 'state')
if state then
  return {'state', state}
end
if ARGV[4] ~= '' then
  local known = redis.call('HGET', KEYS[4], ARGV[4]) or redis.call('HGET', KEYS[5], ARGV[4])
  if known then
    return {'key', known}
  end
end
local row = redis.call('HMGET', KEYS[3], 'avail', 'floor')
if not row[1] then
  return {'unknown'}
end
if tonumber(row[1]) + tonumber(ARGV[3]) < tonumber(row[2] or '0') then
  return {'poor', row[1]}
end
local avail = redis.call('HINCRBY', KEYS[3], 'avail', ARGV[3])
redis.call('HSET', KEYS[2], 'state', 'staging', 'stored', '0', 'expanded', '0', 'written', '0', unpack(ARGV, 5))
redis.call('SADD', KEYS[6], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[4], ARGV[4], 'p' .. ARGV[1])
end
-- tostring would write amounts above 10^14 with an exponent
return {'held', string.format('%.0f', avail)}
