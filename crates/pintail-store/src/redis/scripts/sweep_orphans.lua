-- Deals with games and sessions of incarnations that are gone.
--
-- KEYS[1]  the orphans, a set of '<slot> <incarnation>'
-- ARGV     2 limit, 3 the outcome of an ephemeral game, 4 record TTL (ms), 5 how long an end may be unsettled (ms),
--          6 session TTL (ms)
-- Returns  how many games and sessions it dealt with
--
-- Ephemeral games end. Journaled games are set aside in Games:orphaned, where whoever takes them over finds them.

local limit, outcome, record_ttl, unsettled_ttl, session_ttl = tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local swept = 0

local function sweep_game(id, slot, incarnation)
  local record = fields(key('Game', id), 'slot', 'incarnation', 'durability', 'outcome')
  local running = record.slot == slot and record.incarnation == incarnation and record.outcome == ''
  if running and record.durability == 'ephemeral' then
    finish_game(id, outcome, record_ttl, unsettled_ttl)
  elseif running then
    redis.call('SADD', key('Games:orphaned'), id)
  end
  redis.call('SREM', hosted_games(slot, incarnation), id)
end

local function sweep(slot, incarnation)
  local games, sessions = hosted_games(slot, incarnation), connected_sessions(slot, incarnation)
  for _, id in ipairs(redis.call('SRANDMEMBER', games, limit - swept)) do
    sweep_game(id, slot, incarnation)
    swept = swept + 1
  end
  for _, id in ipairs(redis.call('SRANDMEMBER', sessions, limit - swept)) do
    leave(id, slot, incarnation, session_ttl)
    swept = swept + 1
  end
  rank(slot)
  return redis.call('EXISTS', games, sessions) == 0
end

for _, entry in ipairs(own('SRANDMEMBER', KEYS[1], limit)) do
  local slot, incarnation = string.match(entry, '^(%S+) (%S+)$')
  if not slot or sweep(slot, incarnation) then
    redis.call('SREM', KEYS[1], entry)
  end
end
return swept
