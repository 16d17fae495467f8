-- Time passes: somebody was there to see it.
call('HSET', clock, 'beat', real_time())
