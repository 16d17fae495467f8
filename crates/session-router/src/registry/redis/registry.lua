#!lua
-- What all steps share. KEYS as `script.rs` lists them; ARGV[1] worker_ttl and ARGV[2] forget_after, milliseconds.
--
-- Columns: one hash, set or sorted set per property of a worker, so that all keys are known beforehand and share a slot.
-- A lease stands in `leases` (whose it is), `expiry` (when it ends) and `slots` (`worker/lease`, all of one score): the slots in
-- use of a worker are a range of `slots`, and there is no counter to drift.

local clock, seen, capacity, address, kind, kinds = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local draining, suspects, chosen, homes = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local slots, expiry, leases = KEYS[11], KEYS[12], KEYS[13]
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

local function column(key)
    local flat, map = call('HGETALL', key), {}
    for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
    return map
end

local function used(worker)
    return call('ZLEXCOUNT', slots, '[' .. worker .. '/', '(' .. worker .. '0')
end

local function hold(lease, worker, ttl)
    call('HSET', leases, lease, worker)
    call('ZADD', slots, 0, worker .. '/' .. lease)
    call('ZADD', expiry, now + ttl, lease)
end

local function drop(lease)
    local worker = call('HGET', leases, lease)
    if not worker then return end
    call('ZREM', slots, worker .. '/' .. lease)
    call('ZREM', expiry, lease)
    call('HDEL', leases, lease)
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
