-- Whether it is time to look for servers whose leases ran out. Who is told so must look; the others need not.
--
-- KEYS[1]  what keeps the next look away
-- ARGV     2 lease TTL (ms), 3 the shortest time between two looks (ms)
-- Returns  1 or 0

if not leases_count(now_ms(), tonumber(ARGV[2])) then
  return 0
end
return redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[3]) and 1 or 0
