-- STOP and START: the senders from which a number wants nothing, and how many numbers of the account said so.
-- KEYS    1 marker of the line, 2 opt-outs of the account, 3 account
-- ARGV    1 number of this call on its line, 2 '1' stop, '0' start, 3 sender ('': any; START: all), 4 hash of the number
-- result  '1' changed, '0' it was so before
-- repeat  the number: answers as the first time; overtaken by a later call: nil
local seen = redis.call('GET', KEYS[1])
if seen then
  local number, reply = string.match(seen, '^(%d+) (.*)$')
  if tonumber(number) >= tonumber(ARGV[1]) then
    return number == ARGV[1] and reply or false
  end
end
local old, kept, had = redis.call('HGET', KEYS[2], ARGV[4]) or '', {}, false
for sender in string.gmatch(old, '([^\n]*)\n') do
  if sender == ARGV[3] or (ARGV[2] == '0' and ARGV[3] == '') then
    had = true
  else
    kept[#kept + 1] = sender .. '\n'
  end
end
local reply = '0'
if had == (ARGV[2] == '0') then
  reply = '1'
  if ARGV[2] == '1' then
    kept[#kept + 1] = ARGV[3] .. '\n'
  end
  if #kept > 0 then
    redis.call('HSET', KEYS[2], ARGV[4], table.concat(kept))
  else
    redis.call('HDEL', KEYS[2], ARGV[4])
  end
  redis.call('HSET', KEYS[3], 'optouts', redis.call('HLEN', KEYS[2]))
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. reply, 'EX', 604800)
return reply
