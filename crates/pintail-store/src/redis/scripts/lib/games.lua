-- Part of the scripts that start and end games. Needs servers.lua.

-- Makes a game run on a server. `record` lists the fields of the game's record.
local function add_game(id, slot, incarnation, record)
  redis.call('HSET', key('Game', id), 'slot', slot, 'incarnation', incarnation, unpack(record))
  redis.call('SADD', hosted_games(slot, incarnation), id)
  rank(slot)
end

-- Ends a running game: keeps the outcome for a while, counts the game down, and sees that its room gets to know.
local function finish_game(id, outcome, record_ttl, unsettled_ttl)
  local record = fields(key('Game', id), 'slot', 'incarnation', 'lobby')
  redis.call('HSET', key('Game', id), 'outcome', outcome)
  redis.call('PEXPIRE', key('Game', id), record_ttl)
  redis.call('SREM', hosted_games(record.slot, record.incarnation), id)
  redis.call('SREM', key('Games:orphaned'), id)
  rank(record.slot)
  local now = now_ms()
  forget_older(key('Games:unsettled'), now, unsettled_ttl)
  redis.call('ZADD', key('Games:unsettled'), 'NX', integer(now), id)
  send(record.lobby, 'game-over ' .. id)
end
