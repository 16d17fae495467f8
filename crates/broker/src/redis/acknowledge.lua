-- ARGV: prefix, queue, id, consumer, deliveries. Answers whether the claim stood.
local queue, id, consumer, deliveries = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local stream = stream_of(queue)
-- XACK does not ask whose it is.
if not holds(stream, id, consumer, deliveries) then return 0 end
redis.call('XACK', stream, GROUP, id)
-- This entry and no other: a stream that were trimmed to a length would lose what nobody has had yet.
redis.call('XDEL', stream, id)
redis.call('ZREM', leases_of(queue), id)
forget(stream, consumer)
return 1
