-- S1, first half: checks the money and the keys of a whole batch, and takes the money if all hold.
-- KEYS    1 holds, 2 open, 3 idem of this period, 4 of the one before, 5.. accounts
-- ARGV    1 expected open, 2 transaction, 3 hold record, 4 number of accounts, 5 '' or a '1' for each account whose opt-outs
--         the caller has looked at, then a debit each (0 or negative), then the key fields
-- result  {1, avail after...} or {0, {avail, floor, '1': opt-outs to be looked at}..., {known value}...} or {-1}: open had
--         moved; '' stands for what is not there
-- repeat  harmless: open moves on every refusal and on every reconnect, and then nothing here is done
-- Always sent as EVAL: were it refused for a flushed script cache, the EXEC behind it would enqueue unpaid messages.
local function main()
  if (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then
    return {-1}
  end
  local n = tonumber(ARGV[4])
  local fine, money, after, known = true, {}, {1}, {}
  for i = 1, n do
    local row = redis.call('HMGET', KEYS[4 + i], 'avail', 'floor', 'optouts')
    local sum = tonumber(ARGV[5 + i])
    if not row[1] then
      fine, money[i] = false, {'', '', ''}
    else
      money[i] = {row[1], row[2] or '0', ''}
      if row[3] and row[3] ~= '0' and string.byte(ARGV[5], i) ~= 49 then
        fine, money[i][3] = false, '1'
      end
      if tonumber(row[1]) + sum < tonumber(money[i][2]) then
        fine = false
      end
    end
  end
  local first = 6 + n
  if #ARGV >= first then
    known = redis.call('HMGET', KEYS[3], unpack(ARGV, first))
    local older = redis.call('HMGET', KEYS[4], unpack(ARGV, first))
    for i = 1, #known do
      known[i] = known[i] or older[i] or ''
      if known[i] ~= '' then
        fine = false
      end
    end
  end
  if not fine then
    redis.call('INCR', KEYS[2])
    return {0, money, known}
  end
  for i = 1, n do
    after[i + 1] = redis.call('HINCRBY', KEYS[4 + i], 'avail', ARGV[5 + i])
  end
  if #ARGV >= first then
    local pending = {}
    for i = first, #ARGV do
      pending[#pending + 1] = ARGV[i]
      pending[#pending + 1] = 'p' .. ARGV[2]
    end
    redis.call('HSET', KEYS[3], unpack(pending))
  end
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
  return after
end
local ok, result = pcall(main)
if ok then
  return result
end
redis.call('INCR', KEYS[2])
return redis.error_reply('ERR reserve: ' .. tostring(type(result) == 'table' and result.err or result))
