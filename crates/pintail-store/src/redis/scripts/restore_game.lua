-- Puts a running game back into a store that lost it, or its last claim.
--
-- KEYS[1]  the game's record
-- ARGV     2 game, 3 slot, 4 incarnation, 5 epoch, 6 the snapshot's number ('' without one), 7 its format,
--          8 the snapshot, 9… the record's other fields as name, value, …
-- Returns  { 'restored' } | { 'taken' } | { 'unregistered' }, the last if the server does not hold its slot

local id, slot, incarnation, epoch = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local number, format, snapshot = ARGV[6], ARGV[7], ARGV[8]

local record = game_record(id)
if record then
  local token = standing(record, incarnation, epoch)
  if token == 'fenced' or (token == 'ahead' and number == '') then
    return { 'taken' }
  end
  -- What a server had in another slot is for whoever claims it.
  if token == 'own' and record.slot ~= slot then
    return { 'taken' }
  end
  if number ~= '' then
    write_snapshot(id, record, token, number, format, snapshot)
  end
  if token == 'ahead' then
    move_game(id, record, slot, incarnation, epoch)
  elseif record.orphaned ~= '' then
    change_lane(id)
  end
  return { 'restored' }
end

local server = foreign_fields(key(slot), 'incarnation')
if not server or server.incarnation ~= incarnation then
  return { 'unregistered' }
end
add_game(id, slot, incarnation, epoch, { unpack(ARGV, 9) })
if number ~= '' then
  put_snapshot(id, number, format, snapshot)
end
return { 'restored' }
