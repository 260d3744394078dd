-- Chooses a server for a new game and counts it there.
--
-- KEYS[1]  the game's record
-- ARGV     2 game, 3 type, 4… the record's other fields as name, value, …
-- Returns  { 'placed', slot, incarnation, epoch } | { 'over', outcome } | { 'none' }
--
-- The ranking is kept by every script that changes a server, so its first entry is the one with the smallest share of
-- its capacity in use. Only a lease can end without a script: such entries are removed here and come back with the
-- server's next heartbeat, as does a server whose probation or whose last accusation has ended. So a placement costs
-- O(log n) on average.

local id, game_type = ARGV[2], ARGV[3]
local ranking = key('Placement', game_type)

local known = fields(KEYS[1], 'slot', 'incarnation', 'epoch', 'outcome')
if known.outcome ~= '' then
  return { 'over', known.outcome }
elseif known.slot ~= '' then
  return { 'placed', known.slot, known.incarnation, known.epoch }
end

local function takes(slot)
  local server = candidate(slot)
  if not server or not has_lease(slot, server.incarnation) then
    return nil
  end
  local games = own('SCARD', hosted_games(slot, server.incarnation))
  local hosts_type = string.find(',' .. server.types .. ',', ',' .. game_type .. ',', 1, true)
  return hosts_type and is_open(slot, server, games) and server.incarnation
end

while true do
  local slot = own('ZRANGE', ranking, 0, 0)[1]
  if not slot then
    return { 'none' }
  end
  local incarnation = takes(slot)
  if incarnation then
    add_game(id, slot, incarnation, { 'epoch', '1', unpack(ARGV, 4) })
    send(slot, 'game-placed ' .. id)
    return { 'placed', slot, incarnation, '1' }
  end
  redis.call('ZREM', ranking, slot)
end
