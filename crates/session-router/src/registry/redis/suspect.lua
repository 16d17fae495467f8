-- ARGV: worker, cool-down.
if call('ZSCORE', seen, ARGV[3]) then
    call('ZADD', suspects, 'GT', now + ARGV[4], ARGV[3])
    place(ARGV[3])
end
