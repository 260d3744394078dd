-- Renews a lease and takes a server's report.
--
-- KEYS[1]  the slot's hash
-- ARGV     2 slot, 3 incarnation, 4 address, 5 port, 6 the kind's default port, 7 status, 8 players, 9 lease TTL (ms)
-- Returns  { 'renewed', games } | { 'superseded' } | { 'lost' }

local hash, slot, incarnation, address, port, default_port = KEYS[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local status, players, lease_ttl = ARGV[7], ARGV[8], ARGV[9]

local server = foreign_fields(hash, 'address', 'port', 'status', 'incarnation')
if not server or server.incarnation ~= incarnation then
  local server_port = server and ((server.port == '' and default_port) or server.port)
  if server and server.incarnation ~= '' and server.address == address and server_port == port then
    return { 'superseded' }
  end
  return { 'lost' }
end

redis.call('HSET', hash, 'status', status, 'players', players)
redis.call('HDEL', hash, 'unused_since')
redis.call('SET', key(slot, 'lease'), incarnation, 'PX', lease_ttl)
unorphan(slot, incarnation)
local games = rank(slot)
if server.status == '0' and status ~= '0' then
  announce('ServerOn', slot)
end
return { 'renewed', games }
