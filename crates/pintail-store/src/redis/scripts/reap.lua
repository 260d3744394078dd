-- Looks after a slot that nobody seems to hold.
--
-- KEYS[1]  the slot's hash
-- ARGV     2 slot
-- Returns  1 if its server lost its lease and was switched off by this call, else 0
--
-- A foreign server has no lease, and so is never switched off. Once it has set itself unused, the time is noted, from
-- which on its slot may be recycled; if it is in use again, the note is taken away.

local hash, slot = KEYS[1], ARGV[2]
local server = foreign_fields(hash, 'status', 'incarnation', 'unused_since')
if not server then
  return 0
end
if server.incarnation == '' then
  if server.status == '0' and server.unused_since == '' then
    redis.call('HSET', hash, 'unused_since', integer(now_ms()))
  elseif server.status ~= '0' and server.unused_since ~= '' then
    redis.call('HDEL', hash, 'unused_since')
  end
  return 0
end
if server.unused_since ~= '' or has_lease(slot, server.incarnation) then
  return 0
end
switch_off(slot, server.incarnation)
return 1
