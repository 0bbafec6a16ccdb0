-- Counts that a send was used, once per message.
-- KEYS    1 marker of the line, 2 tickets of the message's bucket, 3 conversions of this hour
-- ARGV    1 number of this call on its line, 2 message id, 3 conversion, 4 now
-- result  '1' counted, '0' counted before
-- repeat  the number: answers as the first time; overtaken by a later call: nil
local seen = redis.call('GET', KEYS[1])
if seen then
  local number, reply = string.match(seen, '^(%d+) (.*)$')
  if tonumber(number) >= tonumber(ARGV[1]) then
    return number == ARGV[1] and reply or false
  end
end
local reply = '0'
if redis.call('HSETNX', KEYS[2], 'used:' .. ARGV[2], ARGV[4]) == 1 then
  redis.call('HINCRBY', KEYS[3], 'used:' .. ARGV[3], 1)
  redis.call('EXPIRE', KEYS[3], 691200)
  reply = '1'
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. reply, 'EX', 604800)
return reply
