-- Deals with games and sessions of incarnations that are gone.
--
-- KEYS[1]  the orphans, a set of '<slot> <incarnation>'
-- ARGV     2 limit, 3 the outcome of an ephemeral game, 4 record TTL (ms), 5 how long an end may be unsettled (ms),
--          6 session TTL (ms), 7 how long a journaled game waits for an owner (ms), 8 its outcome if none came
-- Returns  how many games and sessions it dealt with
--
-- Ephemeral games end. Journaled games are set aside, where whoever takes them over finds them.

local limit, outcome, record_ttl, unsettled_ttl = tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local session_ttl, orphan_ttl, outcome_unclaimed = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local swept = 0

local function sweep_game(id, slot, incarnation)
  local record = game_record(id)
  own('SREM', hosted_games(slot, incarnation), id)
  if not record or record.slot ~= slot or record.incarnation ~= incarnation or record.outcome ~= '' then
    return
  elseif record.durability == 'ephemeral' then
    finish_game(id, outcome, record_ttl, unsettled_ttl)
  else
    set_aside(id)
  end
end

local function sweep(slot, incarnation)
  local games, sessions = hosted_games(slot, incarnation), connected_sessions(slot, incarnation)
  for _, id in ipairs(own('SRANDMEMBER', games, limit - swept)) do
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

local waiting, now = key('Games:orphaned'), now_ms()
-- The clock went back: they wait from now on.
for _, id in ipairs(own('ZRANGEBYSCORE', waiting, '(' .. integer(now), '+inf', 'LIMIT', 0, limit)) do
  redis.call('ZADD', waiting, integer(now), id)
end
-- A wait is as long as somebody could have ended it.
if not heard_for(now, orphan_ttl) then
  return swept
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', integer(now - orphan_ttl), 'LIMIT', 0, limit - swept)) do
  local record = game_record(id)
  if record and record.outcome == '' and record.orphaned ~= '' then
    finish_game(id, outcome_unclaimed, record_ttl, unsettled_ttl)
  else
    redis.call('ZREM', waiting, id)
  end
  swept = swept + 1
end
return swept
