-- ARGV: prefix. Answers {queue, ready, claimed, microseconds since the oldest ready one was published or -1} of each.
local at = now()

local all = {}
for _, queue in ipairs(redis.call('ZRANGE', served, 0, -1)) do
  local stream, leases = stream_of(queue), leases_of(queue)
  local claimed, oldest = 0, -1
  if redis.call('EXISTS', stream) == 1 then
    local fresh, has_group = first_fresh(stream)
    if fresh then oldest = age(fresh, at) end
    local pending = has_group and redis.call('XPENDING', stream, GROUP)[1] or 0
    claimed = math.max(0, pending - redis.call('ZCOUNT', leases, '-inf', at))
  end
  -- More than these have come back only when very many died at once; their age is of one kind then.
  for _, id in ipairs(redis.call('ZRANGE', leases, '-inf', at, 'BYSCORE', 'LIMIT', 0, 1000)) do
    oldest = math.max(oldest, age(id, at))
  end
  all[#all + 1] = {queue, redis.call('XLEN', stream) - claimed, claimed, oldest}
end
return all
