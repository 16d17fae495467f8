-- ARGV: prefix, queue, id, consumer, deliveries. Answers whether the claim stood.
local queue, id, consumer, deliveries = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local stream = stream_of(queue)
if not holds(stream, id, consumer, deliveries) then return 0 end
redis.call('XCLAIM', stream, GROUP, NOBODY, 0, id, 'JUSTID')
redis.call('ZADD', leases_of(queue), now(), id)
forget(stream, consumer)
ring(queue)
return 1
