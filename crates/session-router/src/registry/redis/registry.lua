#!lua
-- What all steps share. KEYS as `script.rs` lists them; ARGV[1] worker_ttl and ARGV[2] forget_after, milliseconds.
--
-- Columns: one hash, set or sorted set per property of a worker, so that all keys are known beforehand and share a slot.
-- A lease stands in `leases` (whose it is), `expiry` (when it ends) and `slots` (`worker/lease`, all of one score): the slots in
-- use of a worker are a range of `slots`, and there is no counter to drift.
--
-- Who is next stands in `order`, each known worker once and all of one score, as
--   kind/share of its slots in use/turn at which it was chosen last/worker
-- so that the first of a kind's range is its best. Instead of a share: `full`, or `out` for one that is draining or suspect.
-- Silence is not in it: it comes by time alone. `places` has the same by worker. Both only repeat what other columns say:
-- whatever changes one of those calls `place`.

local clock, seen, capacity, address, kind, kinds = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local draining, suspects, chosen, homes = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local slots, expiry, leases, order, places = KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15]
local worker_ttl, forget_after = tonumber(ARGV[1]), tonumber(ARGV[2])
local call = redis.call

-- Without a beat for `STANDSTILL` the server stood still, or its clock jumped, and that time counts for nobody.
local BEAT, STANDSTILL = 500, 2000

local function real_time()
    local time = call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function now_is()
    local real = real_time()
    local stood_still = tonumber(call('HGET', clock, 'stood_still') or 0)
    local beat = tonumber(call('HGET', clock, 'beat') or real)
    local silence = real - beat
    if silence > STANDSTILL then
        stood_still = call('HINCRBY', clock, 'stood_still', silence - BEAT)
        call('HSET', clock, 'beat', real)
    elseif silence < 0 then
        stood_still = call('HINCRBY', clock, 'stood_still', silence)
        call('HSET', clock, 'beat', real)
    end
    return real - stood_still
end

local now = now_is()

-- The life of the server and of what it keeps: one that was started again, took over or was emptied may have forgotten what it
-- had acknowledged.
local function generation()
    call('HSETNX', clock, 'born', string.format('%.0f', real_time()))
    return call('INFO', 'server'):match('run_id:(%w+)') .. '-' .. call('HGET', clock, 'born')
end

local function used(worker)
    return call('ZLEXCOUNT', slots, '[' .. worker .. '/', '(' .. worker .. '0')
end

-- A share as text that sorts as the number does: equal ones equal, others apart, up to 2^26 slots a worker. Up to there two
-- shares are 2^-52 apart or more, which doubles below 1 and their 17 decimals tell. Beyond, two may tie: the turn decides.
local function share(in_use, room)
    return string.format('%.17f', in_use / room)
end

-- Puts a worker where it belongs, or nowhere when it is not known.
local function place(worker)
    local before, after, its_kind = call('HGET', places, worker), false, call('HGET', kind, worker)
    if its_kind then
        local state = 'out'
        if call('SISMEMBER', draining, worker) == 0 and not call('ZSCORE', suspects, worker) then
            local in_use, room = used(worker), tonumber(call('HGET', capacity, worker))
            state = in_use < room and share(in_use, room) or 'full'
        end
        after = string.format('%s/%s/%016d/%s', its_kind, state, call('HGET', chosen, worker) or 0, worker)
    end
    if after == before then return end
    if before then call('ZREM', order, before) end
    if after then
        call('ZADD', order, 0, after)
        call('HSET', places, worker, after)
    else
        call('HDEL', places, worker)
    end
end

local function hold(lease, worker, ttl)
    call('HSET', leases, lease, worker)
    call('ZADD', slots, 0, worker .. '/' .. lease)
    call('ZADD', expiry, now + ttl, lease)
    place(worker)
end

local function drop(lease)
    local worker = call('HGET', leases, lease)
    if not worker then return end
    call('ZREM', slots, worker .. '/' .. lease)
    call('ZREM', expiry, lease)
    call('HDEL', leases, lease)
    place(worker)
end

local function drop_all(worker)
    local held = call('ZRANGE', slots, '[' .. worker .. '/', '(' .. worker .. '0', 'BYLEX')
    for _, slot in ipairs(held) do drop(slot:sub(#worker + 2)) end
end

local function forget(worker)
    drop_all(worker)
    local its_kind = call('HGET', kind, worker)
    for _, key in ipairs({capacity, address, kind, chosen, homes}) do call('HDEL', key, worker) end
    for _, key in ipairs({seen, suspects}) do call('ZREM', key, worker) end
    call('SREM', draining, worker)
    place(worker)
    for _, other in ipairs(call('HVALS', kind)) do
        if other == its_kind then return end
    end
    if its_kind then call('HDEL', kinds, its_kind) end
end

-- Ends what has ended by time: leases past their expiry, workers lost long ago.
local function sweep()
    for _, lease in ipairs(call('ZRANGE', expiry, '-inf', now, 'BYSCORE')) do drop(lease) end
    local forgotten = now - math.max(forget_after, worker_ttl)
    for _, worker in ipairs(call('ZRANGE', seen, '-inf', forgotten, 'BYSCORE')) do forget(worker) end
end

sweep()
