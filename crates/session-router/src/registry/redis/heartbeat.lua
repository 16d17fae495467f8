-- ARGV: worker. Whether it counted: a worker that registered in another life of the server must say what it holds.
local worker = ARGV[3]
if call('HGET', homes, worker) ~= generation() then return 0 end
call('ZADD', seen, now, worker)
local suspect_until = tonumber(call('ZSCORE', suspects, worker) or now + 1)
if suspect_until <= now then call('ZREM', suspects, worker) end
-- Also when nothing changed here: a process from before there was an order may have changed something, placing nobody.
place(worker)
return 1
