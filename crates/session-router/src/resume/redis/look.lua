#!lua flags=no-writes
-- KEYS: head, finals. ARGV: secret, tenant. Gives nothing, or begun and state.
local kept = redis.call('HMGET', KEYS[1], 'secret', 'tenant', 'begun', 'state')
-- Compared as in take.lua.
if kept[1] ~= ARGV[1] or kept[2] ~= ARGV[2] then return false end
return {kept[3], kept[4] or ''}
