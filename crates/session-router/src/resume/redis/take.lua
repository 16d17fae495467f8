#!lua
-- KEYS: head, finals. ARGV: secret, tenant, holder of the epoch that begins, ttl. Gives nothing, or epoch, begun, state, dropped and the finals.
local head, finals = KEYS[1], KEYS[2]
local call = redis.call

local kept = call('HMGET', head, 'secret', 'tenant', 'begun', 'state', 'dropped')
-- Lua keeps each text once, so that two are compared by where they are: no time is told of how much of them is the same.
if kept[1] ~= ARGV[1] or kept[2] ~= ARGV[2] then return false end

local taken = {tostring(call('HINCRBY', head, 'epoch', 1)), kept[3], kept[4] or '', kept[5]}
call('HSET', head, 'holder', ARGV[3])
for _, final in ipairs(call('LRANGE', finals, 0, -1)) do table.insert(taken, final) end
call('PEXPIRE', head, ARGV[4])
call('PEXPIRE', finals, ARGV[4])
return taken
