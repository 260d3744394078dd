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

-- How many games are read at once, and how many of a type at most: those that the server can't be given stay in front
-- of the others.
local page_length, looks_max = 64, 1024

-- How many servers are counted for a share: with more, it is a game or two all the same.
local counted_max = 64

local function may_claim(server)
  return server and server.incarnation == incarnation and server.status ~= '0' and server.drain == ''
    and has_lease(slot, incarnation)
end

local function share(game_type, waiting)
  local ranking = key('Placement', game_type)
  local others = 0
  for _, other in ipairs(own('ZRANGE', ranking, 0, counted_max - 1)) do
    local server = other ~= slot and candidate(other)
    if server and has_lease(other, server.incarnation) then
      others = others + 1
    end
  end
  if own('ZSCORE', ranking, slot) then
    return math.ceil(waiting / (others + 1))
  end
  return others == 0 and waiting or 0
end

-- Whether a game that waits can be given to the server; 'gone' if it waits no longer.
local function judge(id, game_type, record)
  if not record or record.outcome ~= '' or record.orphaned == '' or record.type ~= game_type then
    own('ZREM', waiting_games(game_type), id)
    return 'gone'
  end
  local attempts = natural(record.attempts) or 0
  if attempts >= attempts_max then
    finish_game(id, outcome_failed, record_ttl, unsettled_ttl, failed)
    return 'gone'
  elseif (natural(record.format) or 0) > tonumber(format) or (attempts > 0 and suspects < 1) then
    return 'not-this'
  end
  suspects = suspects - math.min(attempts, 1)
  return 'this'
end

local found, more = {}, 0

-- Finds the server's share of the games of a type, those that have waited longest.
local function search(game_type, waiting, places)
  local queue = waiting_games(game_type)
  local most = math.min(places, share(game_type, waiting))
  local looks, at, count, refused = 0, 0, 0, 0
  while count < most and looks < looks_max do
    local page = redis.call('ZRANGE', queue, at, at + page_length - 1, 'WITHSCORES')
    if #page == 0 then
      break
    end
    for i = 1, #page, 2 do
      local id, record = page[i], game_record(page[i])
      local verdict = judge(id, game_type, record)
      if verdict == 'this' then
        count = count + 1
        table.insert(found, { id = id, since = tonumber(page[i + 1]), record = record })
      elseif verdict == 'not-this' then
        refused = refused + 1
      end
      looks = looks + 1
      if count == most then
        break
      end
    end
    -- What is gone has made room for what came after it.
    at = count + refused
  end
  if most > 0 then
    more = more + redis.call('ZCARD', queue) - refused
  end
end

local function claim(game)
  local record = game.record
  local epoch = integer((natural(record.epoch) or 0) + 1)
  local attempts = integer((natural(record.attempts) or 0) + 1)
  take_away(game.id, record)
  give(game.id, slot, incarnation, epoch)
  redis.call('HDEL', key('Game', game.id), 'handed_by')
  redis.call('HSET', key('Game', game.id), 'attempts', attempts, 'claimed_at', integer(now_ms()))
  return epoch, attempts
end

local server = candidate(slot)
if not may_claim(server) then
  return { '0' }
elseif server.format ~= format then
  -- Whoever hands a game over looks at it.
  redis.call('HSET', KEYS[1], 'format', format)
end
-- Each server asks all the time, and mostly nothing waits: that has to cost next to nothing.
local waiting = {}
for game_type in string.gmatch(server.types, '[^,]+') do
  local count = own('ZCARD', waiting_games(game_type))
  waiting[game_type] = count > 0 and count or nil
end
local capacity = natural(server.capacity) or 0
local places = next(waiting) and math.min(limit, capacity - rank(slot)) or 0
if places < 1 then
  return { '0' }
end
for game_type, count in pairs(waiting) do
  search(game_type, count, places)
end
table.sort(found, function(a, b)
  return a.since < b.since or (a.since == b.since and a.id < b.id)
end)
local answer = { '' }
for i = 1, math.min(#found, places) do
  local epoch, attempts = claim(found[i])
  table.insert(answer, found[i].id)
  table.insert(answer, epoch)
  table.insert(answer, attempts)
  more = more - 1
end
answer[1] = integer(rank(slot) < capacity and more or 0)
return answer
