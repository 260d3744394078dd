-- Ends a game for its owner.
--
-- KEYS[1]  the game's record
-- ARGV     2 game, 3 slot, 4 incarnation, 5 epoch, 6 outcome, 7 record TTL (ms), 8 how long it may be unsettled (ms)
-- Returns  1 if the game is over with this owner, else 0

local id, slot, incarnation, epoch, outcome = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local known = fields(KEYS[1], 'slot', 'incarnation', 'epoch', 'outcome')
if known.slot ~= slot or known.incarnation ~= incarnation or known.epoch ~= epoch then
  return 0
end
if known.outcome == '' then
  finish_game(id, outcome, ARGV[7], tonumber(ARGV[8]))
end
return 1
