-- S10: adds money once per credit id, with its fact.
-- KEYS    1 credits, 2 account, 3 charges
-- ARGV    1 credit id, 2 amount, 3 columns, 4 rows
-- result  {avail, reserved, floor, currency}, nil: no such account
-- repeat  the credit id: the second adds nothing
if redis.call('EXISTS', KEYS[2]) == 0 then
  return false
end
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1 then
  redis.call('HINCRBY', KEYS[2], 'avail', ARGV[2])
  redis.call('XADD', KEYS[3], '*', 'v', '1', 'cols', ARGV[3], 'rows', ARGV[4])
end
return redis.call('HMGET', KEYS[2], 'avail', 'reserved', 'floor', 'currency')
