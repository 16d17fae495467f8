-- ARGV: prefix. Answers {queue, ready, claimed, microseconds since the oldest ready one was published or -1} of each.
local at = now()

-- The last that was given away. What comes after it nobody has had.
local function last_given(stream)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  if groups.err then return '0-0' end
  for _, group in ipairs(groups) do
    local fields = {}
    for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
    if fields['name'] == GROUP then return fields['last-delivered-id'] end
  end
  return '0-0'
end

local all = {}
for _, queue in ipairs(redis.call('ZRANGE', served, 0, -1)) do
  local stream, leases = stream_of(queue), leases_of(queue)
  local pending = redis.pcall('XPENDING', stream, GROUP)
  pending = pending.err and 0 or pending[1]
  local claimed = math.max(0, pending - redis.call('ZCOUNT', leases, '-inf', at))
  local oldest = -1
  local first = redis.call('XRANGE', stream, '(' .. last_given(stream), '+', 'COUNT', 1)[1]
  if first then oldest = age(first[1], at) end
  -- More than these have come back only when very many died at once; their age is of one kind then.
  for _, id in ipairs(redis.call('ZRANGE', leases, '-inf', at, 'BYSCORE', 'LIMIT', 0, 1000)) do
    oldest = math.max(oldest, age(id, at))
  end
  all[#all + 1] = {queue, redis.call('XLEN', stream) - claimed, claimed, oldest}
end
return all
