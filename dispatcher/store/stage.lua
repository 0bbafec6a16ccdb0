-- S2 (b): one blob of a staging group. It crosses Lua as one argument per 500 messages.
-- KEYS    1 group, 2 stage
-- ARGV    1 number of the blob (from 1), 2 blob
-- result  blobs now stored, or -1: the group is not staging
-- repeat  the number: a blob stored already is not stored again
local row = redis.call('HMGET', KEYS[1], 'state', 'stored')
if row[1] ~= 'staging' then
  return -1
end
local stored = tonumber(row[2])
if stored ~= tonumber(ARGV[1]) - 1 then
  return stored
end
redis.call('RPUSH', KEYS[2], ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'stored', 1)
