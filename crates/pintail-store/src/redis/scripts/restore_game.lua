-- Puts a running game back into a store that lost it.
--
-- KEYS[1]  the game's record
-- ARGV     2 game, 3 slot, 4 incarnation, 5 epoch, 6… the record's other fields as name, value, …
-- Returns  { 'restored' } | { 'taken' } | { 'unregistered' }, the last if the server does not hold its slot

local id, slot, incarnation, epoch = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local known = fields(KEYS[1], 'slot', 'incarnation', 'epoch', 'outcome')
if known.slot ~= '' then
  local own = known.slot == slot and known.incarnation == incarnation and known.epoch == epoch
  return { own and known.outcome == '' and 'restored' or 'taken' }
end
local server = foreign_fields(key(slot), 'incarnation')
if not server or server.incarnation ~= incarnation then
  return { 'unregistered' }
end
add_game(id, slot, incarnation, { 'epoch', epoch, unpack(ARGV, 6) })
return { 'restored' }
