-- Whether it is time to look for servers whose leases ran out. Who is told so must look; the others need not.
--
-- KEYS[1]  when leases were looked at last
-- ARGV     2 lease TTL (ms), 3 the shortest time between two looks (ms)
-- Returns  1 or 0

local lease_ttl, interval = tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
local last = natural(redis.pcall('GET', KEYS[1]))
-- That the key is there says too little: it lives on if the clock goes back.
local too_soon = last and last <= now and now - last < interval
if too_soon or not leases_count(now, lease_ttl) then
  return 0
end
redis.call('SET', KEYS[1], integer(now), 'PX', interval)
return 1
