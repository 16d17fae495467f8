#!lua
-- KEYS: head, finals. ARGV: epoch, finals that are there, ttl, most bytes, whole (0, 1), secret, tenant, begun, state or '', then
-- the next finals. Gives 'kept', 'taken' or 'forgotten'.
local head, finals = KEYS[1], KEYS[2]
local epoch, after, ttl, most = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local call = redis.call

local held = tonumber(call('HGET', head, 'epoch') or 0)
if held > epoch or call('HEXISTS', head, 'over') == 1 then return 'taken' end

local bytes, dropped = 0, after
if ARGV[5] == '1' then
    call('DEL', head, finals)
    call('HSET', head, 'epoch', ARGV[1], 'secret', ARGV[6], 'tenant', ARGV[7], 'begun', ARGV[8])
else
    dropped = tonumber(call('HGET', head, 'dropped') or 0)
    -- Of another epoch, or with other finals: a server that was restarted may have forgotten the newest writes.
    if held ~= epoch or dropped + call('LLEN', finals) ~= after then return 'forgotten' end
    bytes = tonumber(call('HGET', head, 'bytes'))
end

for i = 10, #ARGV do
    call('RPUSH', finals, ARGV[i])
    bytes = bytes + #ARGV[i]
end
while bytes > most and call('LLEN', finals) > 1 do
    bytes = bytes - #call('LPOP', finals)
    dropped = dropped + 1
end
call('HSET', head, 'bytes', bytes, 'dropped', dropped)
if ARGV[9] ~= '' then call('HSET', head, 'state', ARGV[9]) end
call('PEXPIRE', head, ttl)
call('PEXPIRE', finals, ttl)
return 'kept'
