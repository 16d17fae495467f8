-- ARGV: lease.
drop(ARGV[3])
