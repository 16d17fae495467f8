-- ARGV: prefix, queue, body, limit. Answers whether there was room.
local queue, body, limit = ARGV[2], ARGV[3], tonumber(ARGV[4])
local stream = stream_of(queue)

-- Counted anew each time: a counter of its own would be wrong for ever once something else removes a stream.
local messages = 0
for _, name in ipairs(redis.call('ZRANGE', served, 0, -1)) do
  messages = messages + redis.call('XLEN', stream_of(name))
end
if messages >= limit then
  return 0
end
if redis.call('EXISTS', stream) == 0 then
  -- What was leased of a stream that is gone is gone with it.
  redis.call('DEL', leases_of(queue))
  redis.call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
end
redis.call('ZADD', served, 'NX', 0, queue)
redis.call('XADD', stream, '*', 'body', body)
ring(queue)
return 1
