-- Takes an accusation back.
--
-- KEYS[1]  the slot's hash
-- ARGV     2 slot, 3 incarnation, 4 observer
-- Returns  1 if there was one, else 0

local slot, incarnation, observer = ARGV[2], ARGV[3], ARGV[4]
local server = foreign_fields(KEYS[1], 'incarnation')
if not server or server.incarnation ~= incarnation or own('ZREM', accusers(slot), observer) == 0 then
  return 0
end
rank(slot)
return 1
