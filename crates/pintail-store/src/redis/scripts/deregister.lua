-- Frees a server's slot, if the slot is still its own.
--
-- KEYS[1]  the slot's hash
-- ARGV     2 slot, 3 incarnation
-- Returns  1 if it was its own, else 0

local hash, slot, incarnation = KEYS[1], ARGV[2], ARGV[3]
local server = foreign_fields(hash, 'incarnation', 'unused_since')
if not server or server.incarnation ~= incarnation then
  return 0
end
if server.unused_since == '' then
  switch_off(slot, incarnation, 'stopped')
else
  redis.call('HSET', hash, 'cause', 'stopped')
end
-- A heartbeat that comes after it must not bring the server back.
redis.call('HDEL', hash, 'incarnation')
redis.call('HSET', hash, 'games', '0')
return 1
