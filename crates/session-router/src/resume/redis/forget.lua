#!lua flags=allow-oom
-- KEYS: head, finals. ARGV: epoch, ttl. What is left tells a gateway that was slow that it no longer has the session.
local head, finals = KEYS[1], KEYS[2]
local call = redis.call

local held = tonumber(call('HGET', head, 'epoch') or 0)
if held == 0 or held > tonumber(ARGV[1]) then return end
call('DEL', head, finals)
call('HSET', head, 'epoch', held, 'over', 1)
call('PEXPIRE', head, ARGV[2])
