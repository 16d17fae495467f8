-- Gives the number of kinds, digest and engines of each; then per worker its id, health, capacity, slots in use, ms since its last
-- heartbeat and kind.
local reply = {call('HLEN', kinds)}
for _, part in ipairs(call('HGETALL', kinds)) do table.insert(reply, part) end
local workers = call('ZRANGE', seen, 0, -1, 'WITHSCORES')
for i = 1, #workers, 2 do
    local worker, last = workers[i], tonumber(workers[i + 1])
    local health = 'ready'
    if last + worker_ttl <= now then
        health = 'lost'
    elseif call('SISMEMBER', draining, worker) == 1 then
        health = 'draining'
    elseif call('ZSCORE', suspects, worker) then
        health = 'suspect'
    end
    local its_capacity, its_kind = call('HGET', capacity, worker), call('HGET', kind, worker)
    for _, part in ipairs({worker, health, its_capacity, used(worker), math.max(0, now - last), its_kind}) do
        table.insert(reply, part)
    end
end
return reply
