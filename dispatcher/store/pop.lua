-- S3: takes elements from queues, accounts in turns, the longest waiting first, and notes them as in flight. A turn that
-- the limit cut short goes on with the next pop, whoever makes it: what is spent of it is kept beside the ring.
-- KEYS    1 fence, 2 inflight, 3 expanding, 4 pointers, 5 counter of messages withdrawn before they were ever popped
-- ARGV    1 fence value, 2 in-flight field, 3 limit, 4 now, 5 turn, 6 beginning of the partition's keys,
--         then families route:lane in the order they are to be served
-- result  {elements, groups that must be expanded first, that counter}, or nil: the fence moved
-- repeat  after a lost reply the field tells; a pop still travelling then meets a raised fence
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return false
end
local left, turn, base = tonumber(ARGV[3]), tonumber(ARGV[5]), ARGV[6]
local out, grow, turns = {}, {}, 0

local function serve(queue, family, room)
  local taken = 0
  while taken < room do
    local elements = redis.call('LPOP', queue, room - taken)
    if not elements then
      return taken, false
    end
    local pointer
    for j = 1, #elements do
      if string.byte(elements[j]) == 64 then
        pointer = j
        break
      end
      out[#out + 1] = elements[j]
      taken = taken + 1
    end
    if pointer then
      local behind = {}
      for j = #elements, pointer + 1, -1 do
        behind[#behind + 1] = elements[j]
      end
      if #behind > 0 then
        redis.call('LPUSH', queue, unpack(behind))
      end
      local group = string.sub(elements[pointer], 2)
      local list = base .. 'members:' .. group .. ':' .. family
      local members = redis.call('LPOP', list, room - taken)
      if members then
        for j = 1, #members do
          out[#out + 1] = members[j]
        end
        taken = taken + #members
      end
      if redis.call('EXISTS', list) == 1 then
        redis.call('LPUSH', queue, elements[pointer])
      elseif redis.call('SISMEMBER', KEYS[3], group) == 1 then
        redis.call('LPUSH', queue, elements[pointer])
        grow[#grow + 1] = group
        return taken, true
      else
        redis.call('SREM', KEYS[4], group .. ' ' .. family)
      end
    end
  end
  return taken, false
end

for f = 7, #ARGV do
  local ring, spent, waiting = base .. 'ring:' .. ARGV[f], base .. 'turns:' .. ARGV[f], {}
  while left > 0 do
    local first = redis.call('ZPOPMIN', ring)
    if not first[1] then
      break
    end
    local queue = base .. 'q:' .. ARGV[f] .. ':' .. first[1]
    local begun = tonumber(redis.call('HGET', spent, first[1]) or '0')
    local taken, blocked = serve(queue, ARGV[f], math.min(turn - begun, left))
    left = left - taken
    turns = turns + 1
    local score, over = first[2], begun + taken >= turn
    local more = redis.call('EXISTS', queue) == 1
    if more and not over then
      redis.call('HSET', spent, first[1], begun + taken)
    elseif begun > 0 then
      redis.call('HDEL', spent, first[1])
    end
    if more then
      if over then
        score = string.format('%.3f', tonumber(ARGV[4]) + turns * 0.001)
      end
      if blocked then
        waiting[#waiting + 1] = score
        waiting[#waiting + 1] = first[1]
      else
        redis.call('ZADD', ring, score, first[1])
      end
    end
  end
  if #waiting > 0 then
    redis.call('ZADD', ring, unpack(waiting))
  end
end
if #out > 0 then
  local ids = {}
  for i = 1, #out do
    ids[i] = string.sub(out[i], -26)
  end
  redis.call('HSET', KEYS[2], ARGV[2], table.concat(ids))
end
return {out, grow, redis.call('GET', KEYS[5]) or '0'}
