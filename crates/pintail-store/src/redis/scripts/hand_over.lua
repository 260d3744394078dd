-- Hands a game over to another server.
--
-- KEYS[1]  the game's record
-- ARGV     2 game, 3 slot, 4 incarnation, 5 epoch, 6 the snapshot's number, 7 its format, 8 the snapshot,
--          9 what to do if there is no other server ('keep' | 'set-aside'), 10 how long an owner must have run a game
--          to prove that it can be run (ms)
-- Returns  { 'to', slot, incarnation, epoch } | { 'set-aside' } | { 'none' } | { 'fenced' } | { 'unknown' }
--
-- A game that is set aside has the next epoch too: nobody writes to it any more.

local id, slot, incarnation, epoch = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local number, format, snapshot, without_server = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local giver = incarnation .. ' ' .. epoch

local record = game_record(id)
if not record then
  return { 'unknown' }
elseif record.handed_by == giver and record.outcome == '' then
  -- An earlier call did it.
  return record.orphaned ~= '' and { 'set-aside' } or { 'to', record.slot, record.incarnation, record.epoch }
end
local token = standing(record, incarnation, epoch)
if token == 'fenced' then
  return { 'fenced' }
elseif token == 'own' and tonumber(number) < (entry_number(record.committed) or 0) then
  -- A late repeat of a call that handed nothing over.
  return { 'none' }
end

local function suits(other, server)
  return other ~= slot and tonumber(format) <= (natural(server.format) or math.huge)
end

local target, target_incarnation = best_server(record.type, suits)
if not target and without_server == 'keep' then
  return { 'none' }
end
local next_epoch = integer(tonumber(epoch) + 1)
put_snapshot(id, number, format, snapshot)
prove(id, record, tonumber(ARGV[10]))
take_away(id, record)
if target then
  give(id, target, target_incarnation, next_epoch)
  rank(target)
else
  redis.call('HSET', KEYS[1], 'slot', slot, 'incarnation', incarnation, 'epoch', next_epoch)
  set_aside(id)
end
rank(record.slot)
redis.call('HSET', KEYS[1], 'handed_by', giver)
if redis.call('HEXISTS', KEYS[1], 'attempts') == 1 then
  -- Who has it next has to prove it.
  redis.call('HSET', KEYS[1], 'claimed_at', integer(now_ms()))
end
if not target then
  return { 'set-aside' }
end
send(target, 'game-placed ' .. id)
return { 'to', target, target_incarnation, next_epoch }
