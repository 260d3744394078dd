-- Part of the scripts that change what is kept of games, and who owns them. Needs servers.lua.

local function journal_of(id)
  return key('Game', id, 'journal')
end

local function snapshot_of(id)
  return key('Game', id, 'snapshot')
end

-- Journaled games that wait for an owner stand in lanes: those of a type whose snapshots have one format and that were
-- claimed equally often, by the time since when they wait. So nobody has to look at games that it can't be given.
-- Games:orphaned has all of them.
local function lane_of(record)
  return integer(natural(record.format) or 0) .. ':' .. integer(natural(record.attempts) or 0)
end

-- The names of the lanes of a type.
local function lanes(game_type)
  return key('Orphaned', game_type)
end

local function games_in_lane(game_type, lane)
  return key('Orphaned', game_type, lane)
end

-- What is known of a game; nil if nothing is, or if somebody has put something else there.
local function game_record(id)
  local record = foreign_fields(key('Game', id), 'slot', 'incarnation', 'epoch', 'outcome', 'type', 'durability',
    'committed', 'snapshot', 'format', 'orphaned', 'attempts', 'handed_by')
  return record and record.slot ~= '' and record or nil
end

-- How a token stands to that of the record: 'own'; 'ahead' if the store has lost the claim that made its holder the
-- owner; 'fenced' if the game is another's or over.
local function standing(record, incarnation, epoch)
  local known = natural(record.epoch) or 0
  if record.outcome ~= '' or known > tonumber(epoch) then
    return 'fenced'
  elseif known < tonumber(epoch) then
    return 'ahead'
  end
  return record.incarnation == incarnation and 'own' or 'fenced'
end

-- The number of an entry in a record: 0 if it is not there, nil if it can't be read.
local function entry_number(text)
  return text == '' and 0 or natural(text)
end

-- Whether snapshot and entries are what the record says. Redis may have thrown one of them away because it was full,
-- and others may have put something there.
local function is_complete(id, record)
  local committed, number = entry_number(record.committed), entry_number(record.snapshot)
  if not committed or not number or redis.pcall('LLEN', journal_of(id)) ~= committed - number then
    return false
  end
  return redis.call('EXISTS', snapshot_of(id)) == (record.snapshot == '' and 0 or 1)
end

-- Keeps a snapshot in the place of everything that was kept before.
local function put_snapshot(id, number, format, bytes)
  redis.call('SET', snapshot_of(id), bytes)
  redis.call('DEL', journal_of(id))
  redis.call('HSET', key('Game', id), 'committed', number, 'snapshot', number, 'format', format)
end

-- Takes an owner's snapshot. One that comes after entries that it does not contain is a late repeat: those stay.
local function write_snapshot(id, record, token, number, format, bytes)
  local committed = entry_number(record.committed)
  if token == 'own' and committed and tonumber(number) < committed then
    return is_complete(id, record) and 'committed' or 'gap'
  end
  put_snapshot(id, number, format, bytes)
  return 'committed'
end

local function discard_journal(id)
  redis.call('DEL', journal_of(id), snapshot_of(id))
  redis.call('HDEL', key('Game', id), 'committed', 'snapshot', 'format', 'attempts', 'claimed_at', 'handed_by')
end

local function enter_lane(id, record)
  local lane = lane_of(record)
  own('SADD', lanes(record.type), lane)
  own('ZADD', games_in_lane(record.type, lane), integer(natural(record.orphaned) or now_ms()), id)
end

local function leave_lanes(id, game_type)
  for _, lane in ipairs(own('SMEMBERS', lanes(game_type))) do
    local games = games_in_lane(game_type, lane)
    own('ZREM', games, id)
    if redis.call('EXISTS', games) == 0 then
      redis.call('SREM', lanes(game_type), lane)
    end
  end
end

-- What was written of a game that waits may have changed where it belongs.
local function change_lane(id)
  local record = game_record(id)
  if record and record.orphaned ~= '' then
    leave_lanes(id, record.type)
    enter_lane(id, record)
  end
end

-- The game waits for whoever claims it.
local function set_aside(id)
  local now = integer(now_ms())
  redis.call('HSETNX', key('Game', id), 'orphaned', now)
  own('ZADD', key('Games:orphaned'), 'NX', now, id)
  enter_lane(id, game_record(id))
end

-- The game waits no longer.
local function bring_back(id, game_type)
  redis.call('HDEL', key('Game', id), 'orphaned')
  own('ZREM', key('Games:orphaned'), id)
  leave_lanes(id, game_type)
end

-- Whether this incarnation has the slot and nobody has switched it off. Then whoever does will orphan what it hosts.
local function is_in_use(slot, incarnation)
  local server = foreign_fields(key(slot), 'incarnation', 'unused_since')
  return server and server.incarnation == incarnation and server.unused_since == ''
end

-- Takes a running game away from wherever it is. Whoever calls ranks the slot that it was on.
local function take_away(id, record)
  own('SREM', hosted_games(record.slot, record.incarnation), id)
  if record.orphaned ~= '' then
    bring_back(id, record.type)
  end
end

-- Makes a running game that of a server. Whoever calls ranks its slot.
local function give(id, slot, incarnation, epoch)
  redis.call('HSET', key('Game', id), 'slot', slot, 'incarnation', incarnation, 'epoch', epoch)
  own('SADD', hosted_games(slot, incarnation), id)
  if not is_in_use(slot, incarnation) then
    orphan(slot, incarnation)
  end
end

-- Makes a running game that of another server than it was. What was handed over before is no longer of interest.
local function move_game(id, record, slot, incarnation, epoch)
  take_away(id, record)
  give(id, slot, incarnation, epoch)
  redis.call('HDEL', key('Game', id), 'handed_by')
  rank(record.slot)
  rank(slot)
end

-- Forgets how often a game was claimed, if its owner has run it for long enough since.
local function prove(id, record, proven_after)
  if record.attempts == '' then
    return
  end
  local now = now_ms()
  local since = natural(redis.call('HGET', key('Game', id), 'claimed_at'))
  if not since or since > now then
    -- The clock went back, or the time is somebody else's: it counts from now on.
    redis.call('HSET', key('Game', id), 'claimed_at', integer(now))
  elseif now - since >= proven_after then
    redis.call('HDEL', key('Game', id), 'attempts', 'claimed_at')
  end
end
