-- Renews a lease and takes a server's report.
--
-- KEYS[1]  the slot's hash
-- ARGV     2 slot, 3 incarnation, 4 address, 5 port, 6 the kind's default port, 7 status, 8 cause, 9 players,
--          10 lease TTL (ms), 11… the periods of `readmit`
-- Returns  { 'renewed', games, 'serve' | 'drain' } | { 'superseded' } | { 'lost' }

local hash, slot, incarnation, address, port, default_port = KEYS[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local status, cause, players, lease_ttl = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local now = now_ms()

local server = foreign_fields(hash, 'address', 'port', 'incarnation', 'unused_since', 'drain')
if not server or server.incarnation ~= incarnation then
  local server_port = server and ((server.port == '' and default_port) or server.port)
  if server and server.incarnation ~= '' and server.address == address and server_port == port then
    return { 'superseded' }
  end
  return { 'lost' }
end

redis.call('HSET', hash, 'status', status, 'cause', cause, 'players', players)
redis.call('SET', key(slot, 'lease'), incarnation, 'PX', lease_ttl)
feel_pulse(now, tonumber(lease_ttl))
readmit(slot, now, 11)
if server.unused_since ~= '' then
  redis.call('HDEL', hash, 'unused_since')
  unorphan(slot, incarnation)
  announce('ServerOn', slot)
end
return { 'renewed', rank(slot), (server.drain == '' and 'serve') or 'drain' }
