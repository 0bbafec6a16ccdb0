-- One call in a subject's fixed window, which begins with its first call.
-- KEYS    1 window
-- ARGV    1 at (ms), 2 length (ms)
-- result  {calls so far, ms when it ends}
-- repeat  counts again: a lost reply costs the caller one call
local at, length = tonumber(ARGV[1]), tonumber(ARGV[2])
local used, ends = 0, 0
local kept = redis.call('GET', KEYS[1])
if kept then
  local gap = string.find(kept, ' ', 1, true)
  used, ends = tonumber(string.sub(kept, 1, gap - 1)), tonumber(string.sub(kept, gap + 1))
end
if ends <= at or ends > at + length then
  used, ends = 0, at + length
end
used = used + 1
redis.call('SET', KEYS[1], string.format('%.0f %.0f', used, ends), 'PX', 2 * length)
return {used, ends}
