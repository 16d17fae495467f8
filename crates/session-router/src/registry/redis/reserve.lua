-- ARGV: lease, ttl, number of kinds that fit, those, number of kinds that do not, those, excluded workers.
-- Gives one of
--   'unknown', then digest and engines of each kind that was not asked about
--   'granted', worker, address, kind, candidates
--   'refused', whether a fitting one is ready but full (0, 1), ms until a suspect may be back (or -1), whether one is lost
--              (0, 1), then the kinds of all workers
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
local excluded = {}
for i = at, #ARGV do excluded[ARGV[i]] = true end

local kind_of, all = column(kind), column(kinds)
local unknown = {'unknown'}
for digest, engines in pairs(all) do
    if not fits[digest] and not misfits[digest] then
        table.insert(unknown, digest)
        table.insert(unknown, engines)
    end
end
if #unknown > 1 then return unknown end

drop(lease)
local slots_of, turn_of = column(capacity), column(chosen)
local candidates, best, best_used, best_capacity, best_turn = 0, nil, 0, 1, 0
local ready, suspect_for, lost = 0, -1, 0
local workers = call('ZRANGE', seen, 0, -1, 'WITHSCORES')
for i = 1, #workers, 2 do
    local worker, last = workers[i], tonumber(workers[i + 1])
    if fits[kind_of[worker]] then
        local suspect_until = call('ZSCORE', suspects, worker)
        if last + worker_ttl <= now then
            lost = 1
        elseif call('SISMEMBER', draining, worker) == 1 then
            -- Never again.
        elseif suspect_until then
            local wait = math.max(0, suspect_until - now)
            suspect_for = suspect_for < 0 and wait or math.min(suspect_for, wait)
        else
            ready = 1
            local in_use, room = used(worker), tonumber(slots_of[worker])
            if in_use < room and not excluded[worker] then
                candidates = candidates + 1
                -- The smaller share in use, a/b < c/d as a·d < c·b; of equals, chosen longer ago.
                local turn = tonumber(turn_of[worker] or 0)
                local share, least = in_use * best_capacity, best_used * room
                if not best or share < least or (share == least and turn < best_turn) then
                    best, best_used, best_capacity, best_turn = worker, in_use, room, turn
                end
            end
        end
    end
end

if best then
    hold(lease, best, ttl)
    call('HSET', chosen, best, call('HINCRBY', clock, 'turn', 1))
    return {'granted', best, call('HGET', address, best), kind_of[best], candidates}
end
local refused = {'refused', ready, suspect_for, lost}
for digest in pairs(all) do table.insert(refused, digest) end
return refused
