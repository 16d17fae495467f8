-- ARGV: worker.
if call('ZSCORE', seen, ARGV[3]) then
    call('SADD', draining, ARGV[3])
    place(ARGV[3])
end
