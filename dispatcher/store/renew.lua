-- Keeps a lease, also one that ran out and that nobody took; life 0 gives it up.
-- KEYS    1 lease, 2 engines
-- ARGV    1 nonce, 2 life in ms, 3 name, 4 token of its taking ('': not known here)
-- result  1 ours, 0 not any more
-- repeat  the same
local holder = redis.call('GET', KEYS[1])
if (holder and holder ~= ARGV[1]) or (ARGV[4] ~= '' and redis.call('HGET', KEYS[2], ARGV[3]) ~= ARGV[4]) then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
