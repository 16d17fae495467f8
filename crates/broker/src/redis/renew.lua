-- ARGV: prefix, queue, id, consumer, deliveries, lease in microseconds. Answers whether the claim stands.
local queue, id, consumer, deliveries, lease = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local stream = stream_of(queue)
if not holds(stream, id, consumer, deliveries) then return 0 end
redis.call('ZADD', leases_of(queue), now() + lease, id)
-- So that XPENDING shows an operator since when it was not renewed. Does not count as a delivery.
redis.call('XCLAIM', stream, GROUP, consumer, 0, id, 'JUSTID')
return 1
