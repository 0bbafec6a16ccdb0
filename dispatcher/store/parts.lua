-- Handsets' parts: each is kept once; who sees a message complete is given all of them.
-- ARGV    1 beginning of the partition's keys, 2 now, then per part: name, carrier, index, total, digest, value
-- result  per part {verdict, values...}: 0 kept, 1 repeat, 2 another content stands there; values of a complete message once
-- repeat  a part that is there already is a repeat
local base, at, out, given, counts = ARGV[1], ARGV[2], {}, {}, {}
for i = 3, #ARGV, 6 do
  local name, carrier, index, total, digest, value = unpack(ARGV, i, i + 5)
  local known = false
  local digests = redis.call('HGET', base .. 'joined', name) or ''
  for d = 1, #digests, 8 do
    known = known or string.sub(digests, d, d + 7) == digest
  end
  local verdict = { 1 }
  if not known then
    local key = base .. 'parts:' .. name
    if redis.call('HSETNX', key, index, digest .. value) == 1 then
      verdict[1] = 0
      counts[carrier] = (counts[carrier] or 0) + 1
      redis.call('ZADD', base .. 'waiting', 'NX', at, name)
      redis.call('ZADD', base .. 'waiting:' .. carrier, 'NX', at, name)
    elseif string.sub(redis.call('HGET', key, index), 1, 8) ~= digest then
      verdict[1] = 2
    end
    if not given[name] and redis.call('HLEN', key) == tonumber(total) then
      given[name] = true
      redis.call('ZADD', base .. 'complete', 'NX', at, name)
      local values = redis.call('HVALS', key)
      for v = 1, #values do
        verdict[v + 1] = string.sub(values[v], 9)
      end
    end
  end
  out[#out + 1] = verdict
end
for carrier, count in pairs(counts) do
  redis.call('HINCRBY', base .. 'partcounts', carrier, count)
end
return out
