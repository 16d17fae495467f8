-- ARGV: per lease its name, worker and ttl, as its holder knows it.
for i = 3, #ARGV, 3 do
    local lease, worker, ttl = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    if call('HEXISTS', leases, lease) == 1 then
        call('ZADD', expiry, now + ttl, lease)
    elseif call('ZSCORE', seen, worker) and used(worker) < tonumber(call('HGET', capacity, worker)) then
        hold(lease, worker, ttl)
    end
end
