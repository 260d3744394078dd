-- Gives games that wait for an owner to a server.
--
-- KEYS[1]  the server's hash
-- ARGV     2 slot, 3 incarnation, 4 limit, 5 how many of them may be suspects, 6 the newest format that it reads,
--          7 how many claims of a game may fail, 8 the outcome of one that failed more often, 9 record TTL (ms),
--          10 how long an end may be unsettled (ms), 11 how long a game that failed is kept (ms), 12 how many are
-- Returns  { how many more it could be given, game, epoch, attempts, game, epoch, attempts, … }
--
-- A server takes its share of the games of each type among the servers that are open for it. One that is not open
-- itself (congested, accused, on probation) takes games only if no other is.

local slot, incarnation, limit, suspects, format = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local attempts_max, outcome_failed = tonumber(ARGV[7]), ARGV[8]
local record_ttl, unsettled_ttl, failed = ARGV[9], tonumber(ARGV[10]), { ARGV[11], ARGV[12] }

-- How often a lane is read at most, if what stands there is not what it should be, and how many games are ended.
local looks_max, ends_max = 16, 64

-- How many servers are counted for a share: with more, it is a game or two all the same.
local counted_max = 64

local function may_claim(server)
  return server and server.incarnation == incarnation and server.status ~= '0' and server.drain == ''
    and has_lease(slot, incarnation)
end

-- Among how many servers, this one included, the games of a type are shared; nil if it has no share.
local function sharers(game_type)
  local ranking = key('Placement', game_type)
  local others = 0
  for _, other in ipairs(own('ZRANGE', ranking, 0, counted_max - 1)) do
    local server = other ~= slot and candidate(other)
    if server and has_lease(other, server.incarnation) then
      others = others + 1
    end
  end
  return (own('ZSCORE', ranking, slot) and others + 1) or (others == 0 and 1) or nil
end

-- The record of a game that stands in a lane; nil if it does not belong there, and then it stands there no longer.
local function waiting_game(id, game_type, lane)
  local record = game_record(id)
  local waits = record and record.outcome == '' and record.orphaned ~= '' and record.type == game_type
  if waits and lane_of(record) == lane then
    return record
  end
  own('ZREM', games_in_lane(game_type, lane), id)
  if waits then
    enter_lane(id, record)
  end
end

local function longest_waiting_first(a, b)
  return a.since < b.since or (a.since == b.since and a.id < b.id)
end

-- Adds the first games of a lane to those that were found, `most` at most.
local function read_lane(found, game_type, lane, most)
  local queue, count = games_in_lane(game_type, lane), 0
  for _ = 1, looks_max do
    local page = count < most and redis.call('ZRANGE', queue, count, most - 1, 'WITHSCORES') or {}
    if #page == 0 then
      return
    end
    for i = 1, #page, 2 do
      local record = waiting_game(page[i], game_type, lane)
      if record then
        count = count + 1
        local attempts = natural(record.attempts) or 0
        table.insert(found, { id = page[i], since = tonumber(page[i + 1]), record = record, attempts = attempts })
      end
    end
  end
end

-- Ends games that nobody tries again.
local function end_games(game_type, lane)
  for _, id in ipairs(redis.call('ZRANGE', games_in_lane(game_type, lane), 0, ends_max - 1)) do
    if waiting_game(id, game_type, lane) then
      finish_game(id, outcome_failed, record_ttl, unsettled_ttl, failed)
    end
  end
end

-- The lanes of a type from which the server could be given games: of those that nobody suspects, and of suspects.
local function open_lanes(game_type)
  local trusted, suspected = {}, {}
  for _, lane in ipairs(own('SMEMBERS', lanes(game_type))) do
    local lane_format, attempts = string.match(lane, '^(%d+):(%d+)$')
    if not attempts or own('ZCARD', games_in_lane(game_type, lane)) == 0 then
      redis.call('SREM', lanes(game_type), lane)
    elseif tonumber(attempts) >= attempts_max then
      end_games(game_type, lane)
    elseif tonumber(lane_format) <= tonumber(format) then
      table.insert(tonumber(attempts) == 0 and trusted or suspected, lane)
    end
  end
  return trusted, suspected
end

local function count_games(game_type, from)
  local count = 0
  for _, lane in ipairs(from) do
    count = count + redis.call('ZCARD', games_in_lane(game_type, lane))
  end
  return count
end

-- Adds the server's share of what waits in these lanes of a type to those that were found.
local function find(found, game_type, from, most, sharing)
  local games = {}
  most = math.min(most, math.ceil(count_games(game_type, from) / sharing))
  for _, lane in ipairs(from) do
    read_lane(games, game_type, lane, most)
  end
  table.sort(games, longest_waiting_first)
  for i = 1, math.min(#games, most) do
    table.insert(found, games[i])
  end
end

-- The suspects that are tried together, of those that were found: one whose next failure is its last is tried alone.
local function trial(found)
  local group = {}
  table.sort(found, longest_waiting_first)
  for _, game in ipairs(found) do
    local is_last = game.attempts + 1 >= attempts_max
    if is_last and #group == 0 then
      return { game }
    elseif not is_last and #group < suspects then
      table.insert(group, game)
    end
  end
  return group
end

-- The longest waiting of both, as many as there are places; and how many of them are suspects.
local function choose(trusted, group, places)
  local chosen, suspected = {}, 0
  for _, game in ipairs(group) do
    table.insert(trusted, game)
  end
  table.sort(trusted, longest_waiting_first)
  for i = 1, math.min(#trusted, places) do
    table.insert(chosen, trusted[i])
    suspected = suspected + math.min(trusted[i].attempts, 1)
  end
  return chosen, suspected
end

local function claim(game, attempts)
  local epoch = integer((natural(game.record.epoch) or 0) + 1)
  take_away(game.id, game.record)
  give(game.id, slot, incarnation, epoch)
  redis.call('HDEL', key('Game', game.id), 'handed_by')
  redis.call('HSET', key('Game', game.id), 'attempts', attempts, 'claimed_at', integer(now_ms()))
  return epoch
end

local server = candidate(slot)
if not may_claim(server) then
  return { '0' }
elseif server.format ~= format then
  -- Whoever hands a game over looks at it.
  redis.call('HSET', KEYS[1], 'format', format)
end
-- Each server asks all the time, and mostly nothing waits: that has to cost next to nothing.
local types = {}
for game_type in string.gmatch(server.types, '[^,]+') do
  if redis.call('EXISTS', lanes(game_type)) == 1 then
    table.insert(types, game_type)
  end
end
local capacity = natural(server.capacity) or 0
local places = #types > 0 and math.min(limit, capacity - rank(slot)) or 0
if places < 1 then
  return { '0' }
end

local trusted, suspected, open = {}, {}, {}
for _, game_type in ipairs(types) do
  local with_trusted, with_suspects = open_lanes(game_type)
  local sharing = #with_trusted + #with_suspects > 0 and sharers(game_type)
  if sharing then
    find(trusted, game_type, with_trusted, places, sharing)
    find(suspected, game_type, with_suspects, suspects > 0 and places or 0, sharing)
    table.insert(open, { game_type = game_type, trusted = with_trusted, suspects = with_suspects })
  end
end

local chosen, tried = choose(trusted, trial(suspected), places)
local answer = { '' }
for _, game in ipairs(chosen) do
  -- A suspect that is tried alone is to blame if it fails.
  local is_alone = game.attempts > 0 and tried == 1
  local attempts = integer(is_alone and attempts_max or game.attempts + 1)
  local epoch = claim(game, attempts)
  table.insert(answer, game.id)
  table.insert(answer, epoch)
  table.insert(answer, attempts)
end
local more, more_suspects = 0, 0
for _, left in ipairs(open) do
  more = more + count_games(left.game_type, left.trusted)
  more_suspects = more_suspects + count_games(left.game_type, left.suspects)
end
more = more + math.min(more_suspects, suspects - tried)
answer[1] = integer(rank(slot) < capacity and more or 0)
return answer
