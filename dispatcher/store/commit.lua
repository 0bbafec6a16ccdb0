-- S6, S7, takeover: compares every head's version, then applies all effects or none. Knows no state.
-- KEYS    1 done, 2 counter of at-rest writes, 3 inflight, 4 fence, 5 counter of messages that got their first head here
-- ARGV    1 number of this batch on its line, 2 '1': refuse ids in flight, 3 fence value ('': none needed),
--         4 in-flight fields to be replaced: count, then field, expected value, new value ('': delete) each;
--         buckets: count, then per bucket key, count, packed expected versions, id and head each;
--         then effects: argument count and arguments each
-- result  1 applied, 0 fence moved, 2 an in-flight field moved, or the ids whose head moved or that are in flight
-- repeat  the number: a batch that was applied, or overtaken by a later one, is not applied again
if ARGV[3] ~= '' and redis.call('GET', KEYS[4]) ~= ARGV[3] then
  return 0
end
local number = tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[1]) or '0') >= number then
  return 1
end
local i = 5
local fields = i
for _ = 1, tonumber(ARGV[4]) do
  if redis.call('HGET', KEYS[3], ARGV[i]) ~= ARGV[i + 1] then
    return 2
  end
  i = i + 3
end
local held
if ARGV[2] == '1' then
  held = {}
  local batches = redis.call('HVALS', KEYS[3])
  for b = 1, #batches do
    for at = 1, #batches[b], 26 do
      held[string.sub(batches[b], at, at + 25)] = true
    end
  end
end
local byte, moved, first_heads = string.byte, {}, 0
local buckets = tonumber(ARGV[i])
i = i + 1
local heads = i
for _ = 1, buckets do
  local n, packed, first, ids = tonumber(ARGV[i + 1]), ARGV[i + 2], i + 3, {}
  for j = 1, n do
    ids[j] = ARGV[first + 2 * j - 2]
  end
  local old = redis.call('HMGET', ARGV[i], unpack(ids))
  for j = 1, n do
    local have = 0
    if old[j] then
      have = byte(old[j], 1) * 256 + byte(old[j], 2)
    else
      first_heads = first_heads + 1
    end
    if have ~= byte(packed, 2 * j - 1) * 256 + byte(packed, 2 * j) or (held and held[ids[j]]) then
      moved[#moved + 1] = ids[j]
    end
  end
  i = first + 2 * n
end
if #moved > 0 then
  return moved
end
i = heads
for _ = 1, buckets do
  local n = tonumber(ARGV[i + 1])
  redis.call('HSET', ARGV[i], unpack(ARGV, i + 3, i + 2 + 2 * n))
  i = i + 3 + 2 * n
end
while i <= #ARGV do
  local n = tonumber(ARGV[i])
  redis.call(unpack(ARGV, i + 1, i + n))
  i = i + n + 1
end
for f = fields, fields + 3 * tonumber(ARGV[4]) - 1, 3 do
  if ARGV[f + 2] == '' then
    redis.call('HDEL', KEYS[3], ARGV[f])
  else
    redis.call('HSET', KEYS[3], ARGV[f], ARGV[f + 2])
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 604800)
redis.call('INCR', KEYS[2])
if first_heads > 0 then -- they waited in a queue: whoever remembers their bodies must forget them
  redis.call('INCR', KEYS[5])
end
return 1
