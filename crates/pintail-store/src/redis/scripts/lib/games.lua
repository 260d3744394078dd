-- Part of the scripts that start, move and end games. Needs servers.lua and journals.lua.

-- Makes a new game run on a server. `record` lists the fields of the game's record.
local function add_game(id, slot, incarnation, epoch, record)
  own('HSET', key('Game', id), unpack(record))
  -- What is left of a game whose record was lost says nothing about this one.
  discard_journal(id)
  give(id, slot, incarnation, epoch)
  rank(slot)
end

-- The server in this slot, if it can be given a game of this type.
local function server_that_takes(slot, game_type)
  local server = candidate(slot)
  if not server or not has_lease(slot, server.incarnation) then
    return nil
  end
  local games = own('SCARD', hosted_games(slot, server.incarnation))
  local hosts_type = string.find(',' .. server.types .. ',', ',' .. game_type .. ',', 1, true)
  return hosts_type and is_open(slot, server, games) and server or nil
end

-- The slot and the incarnation of the server with the fewest games by share of its capacity that can be given a game of
-- this type, and `suits`; nil if there is none.
--
-- The ranking is kept by every script that changes a server, so its first entry is the one with the smallest share of
-- its capacity in use. Only a lease can end without a script: such entries are removed here and come back with the
-- server's next heartbeat, as does a server whose probation or whose last accusation has ended. So a placement costs
-- O(log n) on average.
local function best_server(game_type, suits)
  local ranking = key('Placement', game_type)
  local at = 0
  while true do
    local slot = own('ZRANGE', ranking, at, at)[1]
    local server = slot and server_that_takes(slot, game_type)
    if not slot then
      return nil
    elseif not server then
      redis.call('ZREM', ranking, slot)
    elseif suits(slot, server) then
      return slot, server.incarnation
    else
      at = at + 1
    end
  end
end

-- Keeps a game that failed, with its journal: the newest of them, for some time.
local function keep_failed(id, record_ttl, failed_ttl, failed_max)
  for _, kept in ipairs({ key('Game', id), journal_of(id), snapshot_of(id) }) do
    redis.call('PEXPIRE', kept, failed_ttl)
  end
  local failed = key('Games:failed')
  local now = now_ms()
  own('ZADD', failed, integer(now), id)
  forget_older(failed, now, tonumber(failed_ttl))
  for _, oldest in ipairs(redis.call('ZRANGE', failed, 0, -1 - failed_max)) do
    redis.call('ZREM', failed, oldest)
    if own('HEXISTS', key('Game', oldest), 'outcome') == 1 then
      discard_journal(oldest)
      redis.call('PEXPIRE', key('Game', oldest), record_ttl)
    end
  end
end

-- Ends a running game: keeps the outcome for a while, counts the game down, and sees that its room gets to know.
-- `failed` is nil, or for a game that failed { how long it is kept (ms), how many are kept }.
local function finish_game(id, outcome, record_ttl, unsettled_ttl, failed)
  local record = fields(key('Game', id), 'slot', 'incarnation', 'lobby', 'type', 'orphaned')
  redis.call('HSET', key('Game', id), 'outcome', outcome)
  redis.call('PEXPIRE', key('Game', id), record_ttl)
  take_away(id, record)
  rank(record.slot)
  if failed then
    keep_failed(id, record_ttl, failed[1], tonumber(failed[2]))
  else
    discard_journal(id)
  end
  local now = now_ms()
  forget_older(key('Games:unsettled'), now, unsettled_ttl)
  redis.call('ZADD', key('Games:unsettled'), 'NX', integer(now), id)
  send(record.lobby, 'game-over ' .. id)
end
