-- Chooses a server for a new game and counts it there.
--
-- KEYS[1]  the game's record
-- ARGV     2 game, 3 type, 4… the record's other fields as name, value, …
-- Returns  { 'placed', slot, incarnation, epoch } | { 'over', outcome } | { 'none' }

local id, game_type = ARGV[2], ARGV[3]

local known = fields(KEYS[1], 'slot', 'incarnation', 'epoch', 'outcome')
if known.outcome ~= '' then
  return { 'over', known.outcome }
elseif known.slot ~= '' then
  return { 'placed', known.slot, known.incarnation, known.epoch }
end

local function any()
  return true
end

local slot, incarnation = best_server(game_type, any)
if not slot then
  return { 'none' }
end
add_game(id, slot, incarnation, '1', { unpack(ARGV, 4) })
send(slot, 'game-placed ' .. id)
return { 'placed', slot, incarnation, '1' }
