-- Looks after a slot that nobody seems to hold.
--
-- KEYS[1]  the slot's hash
-- ARGV     2 slot, 3 lease TTL (ms)
-- Returns  1 if its server lost its lease and was switched off by this call, else 0
--
-- A foreign server has no lease, and so is never switched off. Once it has set itself unused, the time is noted, from
-- which on its slot may be recycled; if it is in use again, the note is taken away. A note that is no time, or one that
-- is still to come because the clock went back, would keep a slot from being recycled, and is written anew.

local hash, slot, lease_ttl = KEYS[1], ARGV[2], tonumber(ARGV[3])
local now = now_ms()
local server = foreign_fields(hash, 'status', 'incarnation', 'unused_since')
-- Whoever calls may have been held up together with the store since it was allowed to.
if not server or not leases_count(now, lease_ttl) then
  return 0
end

local is_foreign = server.incarnation == ''
local since = natural(server.unused_since)
if is_foreign and server.status ~= '0' then
  redis.call('HDEL', hash, 'unused_since')
  return 0
elseif since and since <= now then
  return 0
elseif server.status == '0' and (is_foreign or server.unused_since ~= '') then
  redis.call('HSET', hash, 'unused_since', integer(now))
  return 0
elseif has_lease(slot, server.incarnation) then
  return 0
end
declare_dead(slot, server.incarnation, 'its lease ran out')
return 1
