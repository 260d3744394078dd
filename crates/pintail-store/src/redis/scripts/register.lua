-- Takes a slot and a lease for a server.
--
-- KEYS[1]  the list of the kind, Server:<Kind>
-- ARGV     2 kind, 3 its default port, 4 how many missing hashes end the search, 5 the most slots of a kind,
--          6 recycle time (ms), 7 lease TTL (ms), 8 address, 9 port, 10 incarnation, 11 types,
--          12 to 14 the periods of `readmit`, then further fields of the hash as name, value, …
-- Returns  { index, 'new' | 'restarted' | 'recycled' }
--
-- The hashes are the truth and the list only says how far to look: others may push to either of its ends.

local list, kind, default_port = KEYS[1], ARGV[2], ARGV[3]
local margin, slots_max, recycle_after, lease_ttl = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local address, port, incarnation, types = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local now = now_ms()

local function is_free(slot, server)
  local since = natural(server.unused_since)
  return server.status == '0' and since and now - since >= recycle_after
    and not has_lease(slot, server.incarnation)
end

local function search()
  local length = redis.call('LLEN', list)
  local mine, same, free, fresh
  local index, missing = 0, 0
  while index < slots_max and (index < length or missing < margin) do
    local slot = 'Server:' .. kind .. ':' .. index
    if redis.call('EXISTS', key(slot)) == 0 then
      missing = missing + 1
      if index >= length then
        fresh = fresh or index
      end
    else
      missing = 0
      local server = foreign_fields(key(slot), 'address', 'port', 'status', 'incarnation', 'unused_since') or {}
      local server_port = (server.port == '' and default_port) or server.port
      if server.incarnation == incarnation then
        mine = mine or index
      elseif server.address == address and server_port == port then
        same = same or index
      elseif is_free(slot, server) then
        free = free or index
      end
    end
    index = index + 1
  end
  return mine or same, free, fresh
end

local taken, free, fresh = search()
local index = taken or free or fresh
if not index then
  return redis.error_reply('PINTAIL the registry has no slot left at ' .. list)
end

local slot = 'Server:' .. kind .. ':' .. index
local before = fields(key(slot), 'address', 'incarnation', 'types', 'unused_since', 'falls', 'probation_until',
  'forgiven_at')
local falls = natural(before.falls) or 0
if before.incarnation ~= '' and before.incarnation ~= incarnation then
  if before.unused_since == '' then
    -- It died, and is back before anyone noticed.
    falls, before.probation_until, before.forgiven_at = falls + 1, '', ''
  end
  orphan(slot, before.incarnation)
end
unrank(slot, before.types)

if before.address ~= address and before.address ~= '' then
  redis.call('LREM', list, 1, before.address)
end
if before.address ~= address or not redis.call('LPOS', list, address) then
  redis.call('RPUSH', list, address)
end

redis.call('DEL', key(slot), accusers(slot))
redis.call('HSET', key(slot), 'address', address, 'port', port, 'status', '1', 'games', '0', 'players', '0',
  'incarnation', incarnation, 'types', types, 'started_at', integer(now), unpack(ARGV, 15))
redis.call('SET', key(slot, 'lease'), incarnation, 'PX', lease_ttl)
feel_pulse(now, tonumber(lease_ttl))
if taken and falls > 0 then
  redis.call('HSET', key(slot), 'falls', integer(falls), 'probation_until', before.probation_until,
    'forgiven_at', before.forgiven_at)
  readmit(slot, now, 12)
end
unorphan(slot, incarnation)
rank(slot)
announce('ServerOn', slot)
return { index, (taken and 'restarted') or (free and 'recycled') or 'new' }
