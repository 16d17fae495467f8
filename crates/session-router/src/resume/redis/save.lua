#!lua
-- KEYS: head, finals. ARGV: epoch, its holder, finals that are there, ttl, most bytes, whole (0, 1), secret, tenant, begun, state or
-- '', then the next finals. Gives 'kept', 'taken' or 'forgotten'.
local head, finals = KEYS[1], KEYS[2]
local epoch, holder, after, ttl, most = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local call = redis.call

local held = tonumber(call('HGET', head, 'epoch') or 0)
-- A server that was restarted may have forgotten the newest writes, and then given the same epoch to another one.
local is_anothers = held > epoch or held == epoch and call('HGET', head, 'holder') ~= holder
if is_anothers or call('HEXISTS', head, 'over') == 1 then return 'taken' end

local bytes, dropped = 0, after
if ARGV[6] == '1' then
    call('DEL', head, finals)
    call('HSET', head, 'epoch', ARGV[1], 'holder', holder, 'secret', ARGV[7], 'tenant', ARGV[8], 'begun', ARGV[9])
else
    dropped = tonumber(call('HGET', head, 'dropped') or 0)
    -- Of an epoch before, or with other finals: forgotten as well.
    if held ~= epoch or dropped + call('LLEN', finals) ~= after then return 'forgotten' end
    bytes = tonumber(call('HGET', head, 'bytes'))
end

for i = 11, #ARGV do
    call('RPUSH', finals, ARGV[i])
    bytes = bytes + #ARGV[i]
end
while bytes > most and call('LLEN', finals) > 1 do
    bytes = bytes - #call('LPOP', finals)
    dropped = dropped + 1
end
call('HSET', head, 'bytes', bytes, 'dropped', dropped)
if ARGV[10] ~= '' then call('HSET', head, 'state', ARGV[10]) end
call('PEXPIRE', head, ttl)
call('PEXPIRE', finals, ttl)
return 'kept'
