-- ARGV: worker, capacity, address, engines, ttl of leases that were forgotten, leases it holds.
local worker, engines, held_ttl = ARGV[3], ARGV[6], tonumber(ARGV[7])
local digest = redis.sha1hex(engines)
call('HSET', kinds, digest, engines)
call('HSET', capacity, worker, ARGV[4])
call('HSET', address, worker, ARGV[5])
call('HSET', kind, worker, digest)
call('HSET', homes, worker, generation())
call('ZADD', seen, now, worker)
call('SREM', draining, worker)
call('ZREM', suspects, worker)
place(worker)
for i = 8, #ARGV do
    if call('HEXISTS', leases, ARGV[i]) == 0 then hold(ARGV[i], worker, held_ttl) end
end
