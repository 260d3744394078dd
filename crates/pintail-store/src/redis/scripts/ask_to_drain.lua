-- Asks a server to drain. From now on it is given no games; each heartbeat is answered with the request.
--
-- KEYS[1]  the slot's hash
-- ARGV     2 slot
-- Returns  { 'asked', incarnation } | { 'unused' } | { 'foreign' }

local hash, slot = KEYS[1], ARGV[2]
local server = foreign_fields(hash, 'incarnation', 'status', 'unused_since')
if not server or server.unused_since ~= '' or server.status == '' then
  return { 'unused' }
elseif server.incarnation == '' then
  return { server.status == '0' and 'unused' or 'foreign' }
end
redis.call('HSET', hash, 'drain', '1')
rank(slot)
send(slot, 'drain')
return { 'asked', server.incarnation }
