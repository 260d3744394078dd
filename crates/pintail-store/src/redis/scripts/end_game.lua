-- Ends a game for its owner.
--
-- KEYS[1]  the game's record
-- ARGV     2 game, 3 slot, 4 incarnation, 5 epoch, 6 outcome, 7 record TTL (ms), 8 how long it may be unsettled (ms),
--          9 how long it is kept because it failed (ms), '' if it did not, 10 how many games that failed are kept
-- Returns  1 if the game is over with this owner, else 0

local id, slot, incarnation, epoch, outcome = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local record = game_record(id)
if not record then
  return 0
end
if standing(record, incarnation, epoch) == 'ahead' then
  move_game(id, record, slot, incarnation, epoch)
elseif record.slot ~= slot or record.incarnation ~= incarnation or record.epoch ~= epoch then
  return 0
end
if record.outcome == '' then
  finish_game(id, outcome, ARGV[7], tonumber(ARGV[8]), ARGV[9] ~= '' and { ARGV[9], ARGV[10] } or nil)
end
return 1
