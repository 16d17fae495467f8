#!lua flags=allow-oom
-- KEYS: head, finals. ARGV: epoch, its holder, ttl. What is left tells a gateway that was slow that it no longer has the session.
local head, finals = KEYS[1], KEYS[2]
local epoch, holder = tonumber(ARGV[1]), ARGV[2]
local call = redis.call

local held = tonumber(call('HGET', head, 'epoch') or 0)
if held == 0 or held > epoch or held == epoch and call('HGET', head, 'holder') ~= holder then return end
call('DEL', head, finals)
call('HSET', head, 'epoch', held, 'holder', holder, 'over', 1)
call('PEXPIRE', head, ARGV[3])
