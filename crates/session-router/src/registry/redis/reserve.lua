-- ARGV: lease, ttl, number of kinds that fit, those, number of kinds that do not, those, excluded workers.
-- Gives one of
--   'unknown', then digest and engines of each kind that was not asked about
--   'granted', worker, address, kind, candidates
--   'refused', whether a fitting one is ready but full or excluded (0, 1), ms until a suspect may be back (or -1),
--              whether one is lost (0, 1), then the kinds of all workers
local lease, ttl, at = ARGV[3], ARGV[4], 5

local function listed()
    local set = {}
    for _ = 1, tonumber(ARGV[at]) do
        at = at + 1
        set[ARGV[at]] = true
    end
    at = at + 1
    return set
end

local fits, misfits = listed(), listed()
local all, fitting, unknown = call('HKEYS', kinds), {}, {'unknown'}
for _, digest in ipairs(all) do
    if fits[digest] then
        table.insert(fitting, digest)
    elseif not misfits[digest] then
        table.insert(unknown, digest)
        table.insert(unknown, call('HGET', kinds, digest))
    end
end
if #unknown > 1 then return unknown end

drop(lease)
-- A process from before there was an order added workers or removed them, or began all this. While such ones run beside, what
-- they do to a worker moves it when a newer one touches it next: at its heartbeat if it is newer itself. Until then it may be
-- chosen out of turn, or overlooked, or chosen although it is full or draining, which it then says itself.
if call('ZCARD', order) ~= call('ZCARD', seen) then
    call('DEL', order, places)
    for _, worker in ipairs(call('ZRANGE', seen, 0, -1)) do place(worker) end
end

-- Who must not be chosen although it may stand among those that have room, and how many of each kind do.
local left_out, gaps = {}, {}
local function leave_out(worker)
    if left_out[worker] then return end
    left_out[worker] = true
    local digest = (call('HGET', places, worker) or ''):match('^(%x+)/%d')
    if digest then gaps[digest] = (gaps[digest] or 0) + 1 end
end

local lost_ones = call('ZRANGE', seen, '-inf', now - worker_ttl, 'BYSCORE')
for _, worker in ipairs(lost_ones) do leave_out(worker) end
for i = at, #ARGV do leave_out(ARGV[i]) end

-- The best of a kind is among its first few: those left out and one more. Of these bests the one whose share, then turn, sorts
-- first: digits at fixed places, so that the server's locale, by which Lua compares, does not matter.
local candidates, best, best_kind, best_rank = 0, nil, nil, nil
for _, digest in ipairs(fitting) do
    local from, to, gap = '[' .. digest .. '/0', '(' .. digest .. '/f', gaps[digest] or 0
    candidates = candidates + call('ZLEXCOUNT', order, from, to) - gap
    for _, its_place in ipairs(call('ZRANGE', order, from, to, 'BYLEX', 'LIMIT', 0, gap + 1)) do
        local rank, worker = its_place:match('^%x+/([^/]+/%d+)/(.+)$')
        if not left_out[worker] then
            if not best or rank < best_rank then best, best_kind, best_rank = worker, digest, rank end
            break
        end
    end
end

if best then
    call('HSET', chosen, best, call('HINCRBY', clock, 'turn', 1))
    hold(lease, best, ttl)
    return {'granted', best, call('HGET', address, best), best_kind, candidates}
end

local ready, suspect_for, lost = 0, -1, 0
for _, digest in ipairs(fitting) do
    ready = ready + call('ZLEXCOUNT', order, '[' .. digest .. '/0', '(' .. digest .. '/g')
end
for _, worker in ipairs(lost_ones) do
    local digest, state = (call('HGET', places, worker) or ''):match('^(%x+)/(.)')
    if fits[digest] then
        lost = 1
        if state ~= 'o' then ready = ready - 1 end
    end
end
-- The first to be back comes first.
local waiting = call('ZRANGE', suspects, 0, -1, 'WITHSCORES')
for i = 1, #waiting, 2 do
    local worker, suspect_until = waiting[i], waiting[i + 1]
    local is_there = call('ZSCORE', seen, worker) + worker_ttl > now and call('SISMEMBER', draining, worker) == 0
    if is_there and fits[call('HGET', kind, worker)] then
        suspect_for = math.max(0, suspect_until - now)
        break
    end
end
local refused = {'refused', ready > 0 and 1 or 0, suspect_for, lost}
for _, digest in ipairs(all) do table.insert(refused, digest) end
return refused
