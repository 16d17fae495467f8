-- What every script begins with. All of a broker's keys share a slot, so names made up here are where the script runs.
--
--   served         zset: every queue that was ever used, by when it was last served (a count, not a time)
--   queue:NAME     stream: the messages that are not done; its group's pending entries are those that somebody has or
--   had leases:NAME    zset: of each pending entry, until when it is somebody's, in microseconds; past: it is for the
--   next
--
-- KEYS[1] is `served`, ARGV[1] what names of keys begin with.
local GROUP = 'workers'
-- Owner of what was given back. Consumers are never called so.
local NOBODY = '(nobody)'
local served, prefix = KEYS[1], ARGV[1]

local function stream_of(queue) return prefix .. 'queue:' .. queue end
local function leases_of(queue) return prefix .. 'leases:' .. queue end

-- One clock for all leases: the server's.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Microseconds since a message was published, which its id begins with.
local function age(id, at)
  return math.max(0, at - tonumber(string.match(id, '^(%d+)-')) * 1000)
end

-- Wakes who waits for the queue, wherever. Who does not hear it looks again before long.
local function ring(queue)
  redis.call('PUBLISH', prefix .. 'bell:' .. queue, '')
end

-- The id of the first message that nobody has had, and whether there is a group.
local function first_fresh(stream)
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local fields = {}
    for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
    if fields['name'] == GROUP then
      local entry = redis.call('XRANGE', stream, '(' .. fields['last-delivered-id'], '+', 'COUNT', 1)[1]
      return entry and entry[1], true
    end
  end
  local entry = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  return entry and entry[1], false
end

-- Whether this is who has the message, of this delivery. An id that is none, a queue that is none: nobody has it.
local function holds(stream, id, consumer, deliveries)
  local pending = redis.pcall('XPENDING', stream, GROUP, id, id, 1)
  local held = not pending.err and pending[1]
  return held and held[1] == id and held[2] == consumer and held[4] == deliveries
end

-- A group remembers every name it has heard. Names of processes that are gone must not pile up.
local function forget(stream, consumer)
  if #redis.call('XPENDING', stream, GROUP, '-', '+', 1, consumer) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, consumer)
  end
end
