-- ARGV: worker.
forget(ARGV[3])
