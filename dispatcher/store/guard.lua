-- S6, first half: compares every head's version. If one has moved, the EXEC behind this, which watches KEYS[1], must fail.
-- KEYS    1 counter of at-rest writes, watched by this connection; 2.. buckets
-- ARGV    per bucket: the number of its ids, the versions expected packed in two bytes each, the ids
-- result  1, or the ids whose head moved
-- repeat  harmless: after the effects no version is what it was
-- Always sent as EVAL: were it refused for a flushed script cache, the EXEC behind it would write without a guard.
local function main()
  local byte, moved, i = string.byte, {}, 1
  for b = 2, #KEYS do
    local n, packed = tonumber(ARGV[i]), ARGV[i + 1]
    local old = redis.call('HMGET', KEYS[b], unpack(ARGV, i + 2, i + 1 + n))
    for j = 1, n do
      local head, have = old[j], 0
      if head then
        have = byte(head, 1) * 256 + byte(head, 2)
      end
      if have ~= byte(packed, 2 * j - 1) * 256 + byte(packed, 2 * j) then
        moved[#moved + 1] = ARGV[i + 1 + j]
      end
    end
    i = i + 2 + n
  end
  return #moved == 0 and 1 or moved
end
local ok, result = pcall(main)
if ok and result == 1 then
  return 1
end
if redis.call('DEL', KEYS[1]) == 0 then -- a server that is out of memory still deletes; all that counts is the change
  redis.call('INCR', KEYS[1])
end
if ok then
  return result
end
return redis.error_reply('ERR guard: ' .. tostring(type(result) == 'table' and result.err or result))
