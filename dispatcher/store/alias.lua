-- The message or group behind a door's alias, newest day first, while its ticket is there.
-- KEYS    1 days that have aliases
-- ARGV    1 alias, 2 beginning of the aliases' keys, 3 of the tickets'
-- result  id or nil
-- repeat  reads only
local days = redis.call('SMEMBERS', KEYS[1])
table.sort(days, function(a, b) return tonumber(a) > tonumber(b) end)
for _, day in ipairs(days) do
  local id = redis.call('HGET', ARGV[2] .. day, ARGV[1])
  if id and redis.call('HEXISTS', ARGV[3] .. string.sub(id, 1, 6), id) == 1 then
    return id
  end
end
return false
