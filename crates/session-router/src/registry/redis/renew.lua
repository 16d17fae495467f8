-- ARGV: per lease its name, and as its holder knows it: worker, ttl, life of the server, whether a renewal was missed.
-- Gives the server's life, and per lease: 0 lost, 1 renewed, 2 to be brought back by its worker.
local life = generation()
local reply = {life}

local function lives(worker)
    local last = tonumber(call('ZSCORE', seen, worker) or 0)
    return last + worker_ttl > now
end

for i = 3, #ARGV, 5 do
    local lease, worker, ttl, known_life, missed = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
    local held = call('HGET', leases, lease)
    local forgotten = worker ~= '' and known_life ~= life
    local state = 0
    if held then
        call('ZADD', expiry, now + held:match('%d+$'), lease)
        state = 1
    elseif forgotten and not call('ZSCORE', seen, worker) then
        -- Nobody else gets its slot before the worker is back, and the worker brings what it holds.
        state = 2
    elseif (forgotten or (worker ~= '' and missed == '1')) and lives(worker)
        and used(worker) < tonumber(call('HGET', capacity, worker)) then
        hold(lease, worker, ttl)
        state = 1
    end
    table.insert(reply, state)
end
return reply
