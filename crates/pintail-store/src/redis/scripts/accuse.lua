-- Takes an observer's accusation of a server.
--
-- KEYS[1]  the slot's hash
-- ARGV     2 slot, 3 incarnation, 4 observer, 5 charge ('silent' | 'dead' | 'refused'), 6 accusation TTL (ms),
--          7 lease TTL (ms)
-- Returns  'suspect' | 'down' | 'elsewhere'

local hash, slot, incarnation, observer, charge = KEYS[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ttl, lease_ttl = tonumber(ARGV[6]), tonumber(ARGV[7])
local now = now_ms()

local server = foreign_fields(hash, 'incarnation', 'unused_since')
if not server or server.incarnation ~= incarnation then
  return 'elsewhere'
elseif server.unused_since ~= '' then
  return 'down'
elseif charge == 'refused' then
  declare_dead(slot, incarnation, 'refuses connections, says ' .. observer)
  return 'down'
end

local standing = accusers(slot)
own('ZREMRANGEBYSCORE', standing, '-inf', integer(now))
-- No accusation stands for longer than one that begins now: the clock may have gone back.
redis.call('ZREMRANGEBYSCORE', standing, '(' .. integer(now + ttl), '+inf')
redis.call('ZADD', standing, integer(now + ttl), observer)
redis.call('PEXPIRE', standing, integer(ttl))

local observers = redis.call('ZRANGE', standing, 0, -1)
local expired = not has_lease(slot, incarnation) and leases_count(now, lease_ttl)
if charge == 'dead' and (expired or #observers > 1) then
  declare_dead(slot, incarnation, silent(slot, observers) .. (expired and ', and its lease ran out' or ''))
  return 'down'
end
rank(slot)
return 'suspect'
