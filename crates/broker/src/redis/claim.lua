-- ARGV: prefix, consumer, lease in microseconds, queue, queue, …
-- Answers {queue, id, deliveries, body, microseconds since publication}, or {microseconds until a lease ends}, or {}.
local consumer, lease = ARGV[2], tonumber(ARGV[3])
local at = now()

-- Those served longest ago come first, those never served in the order they were named.
local queues = {}
for place = 4, #ARGV do
  local last = redis.call('ZSCORE', served, ARGV[place])
  queues[#queues + 1] = {name = ARGV[place], last = tonumber(last or 0), place = place}
end
table.sort(queues, function(a, b)
  if a.last ~= b.last then return a.last < b.last end
  return a.place < b.place
end)

-- The next message of which a lease has ended: the one that ended first.
local function returned(stream, leases)
  while true do
    local id = redis.call('ZRANGE', leases, '-inf', at, 'BYSCORE', 'LIMIT', 0, 1)[1]
    if not id then return nil end
    local pending = redis.call('XPENDING', stream, GROUP, id, id, 1)[1]
    local entry = pending and redis.call('XCLAIM', stream, GROUP, consumer, 0, id)[1]
    if entry then
      if pending[2] ~= consumer then forget(stream, pending[2]) end
      return entry, pending[4] + 1
    end
    -- Its entry was removed by hand.
    redis.call('ZREM', leases, id)
  end
end

local function read(stream)
  return redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', 1, 'STREAMS', stream, '>')[1][2][1], 1
end

local soonest
for _, queue in ipairs(queues) do
  local stream, leases = stream_of(queue.name), leases_of(queue.name)
  if redis.call('EXISTS', stream) == 1 then
    local fresh, has_group = first_fresh(stream)
    if not has_group then
      -- Somebody has removed it, and with it who has what. All of it is for whoever comes.
      redis.call('XGROUP', 'CREATE', stream, GROUP, '0')
      redis.call('DEL', leases)
    end
    local entry, deliveries = returned(stream, leases)
    -- Not without something to read: XREADGROUP would write down the name of everybody who ever looked.
    if not entry and fresh then entry, deliveries = read(stream) end
    if entry then
      local id = entry[1]
      redis.call('ZADD', leases, at + lease, id)
      local last = redis.call('ZRANGE', served, -1, -1, 'WITHSCORES')[2]
      redis.call('ZADD', served, (last or 0) + 1, queue.name)
      return {queue.name, id, deliveries, entry[2][2], age(id, at)}
    end
    local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2]
    if first and (not soonest or tonumber(first) < soonest) then soonest = tonumber(first) end
  end
end
if soonest then return {soonest - at} end
return {}
