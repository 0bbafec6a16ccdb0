-- One guess of a one-time password: right uses it up, wrong takes a try, the last wrong one destroys it.
-- KEYS    1 marker of the line, 2 code, 3 conversions of this hour
-- ARGV    1 number of this call on its line, 2 digest, 3 now, 4 beginning of the tickets' keys
-- result  'right 0 id', 'wrong left id' or 'none 0 '
-- repeat  the number: answers as the first time; overtaken by a later call: nil
local seen = redis.call('GET', KEYS[1])
if seen then
  local number, reply = string.match(seen, '^(%d+) (.*)$')
  if tonumber(number) >= tonumber(ARGV[1]) then
    return number == ARGV[1] and reply or false
  end
end
local reply = 'none 0 '
local row = redis.call('HMGET', KEYS[2], 'digest', 'left', 'expires_at', 'id', 'conversion')
if row[1] and tonumber(row[2]) > 0 and tonumber(ARGV[3]) < tonumber(row[3]) then
  if row[1] == ARGV[2] then
    redis.call('UNLINK', KEYS[2])
    if row[5] ~= '' and redis.call('HSETNX', ARGV[4] .. string.sub(row[4], 1, 6), 'used:' .. row[4], ARGV[3]) == 1 then
      redis.call('HINCRBY', KEYS[3], 'used:' .. row[5], 1)
      redis.call('EXPIRE', KEYS[3], 691200)
    end
    reply = 'right 0 ' .. row[4]
  else
    local left = redis.call('HINCRBY', KEYS[2], 'left', -1)
    if left == 0 then
      redis.call('UNLINK', KEYS[2])
    end
    reply = 'wrong ' .. left .. ' ' .. row[4]
  end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. reply, 'EX', 604800)
return reply
