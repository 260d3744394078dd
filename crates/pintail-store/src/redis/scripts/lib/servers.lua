-- Part of the scripts that change servers: their place in the ranking, and how they come and go.

-- How many accusers are named before the rest is counted.
local named_max = 3

local function hosted_games(slot, incarnation)
  return key(slot, 'games', incarnation)
end

local function has_lease(slot, incarnation)
  return redis.pcall('GET', key(slot, 'lease')) == incarnation
end

-- A sorted set: who accuses the server in this slot, by the time until which the accusation stands.
local function accusers(slot)
  return key(slot, 'accusers')
end

-- Takes a slot out of the rankings of these game types.
local function unrank(slot, types)
  for game_type in string.gmatch(types, '[^,]+') do
    own('ZREM', key('Placement', game_type), slot)
  end
end

-- The server in a slot as placement sees it; nil if it is none that could be given games.
local function candidate(slot)
  local server = foreign_fields(key(slot), 'status', 'incarnation', 'types', 'capacity', 'drain', 'probation_until',
    'format')
  return server and server.incarnation ~= '' and server or nil
end

-- Whether a candidate that hosts this many games may be given one more.
local function is_open(slot, server, games)
  local now = now_ms()
  return server.status == '1' and server.drain == '' and games < (natural(server.capacity) or 0)
    and now >= (natural(server.probation_until) or 0)
    and own('ZCOUNT', accusers(slot), '(' .. integer(now), '+inf') == 0
end

-- Counts the games of a server and puts it where placement looks for it, if it can take one more.
local function rank(slot)
  local server = candidate(slot)
  if not server then
    return 0
  end
  local games = own('SCARD', hosted_games(slot, server.incarnation))
  redis.call('HSET', key(slot), 'games', games)
  if is_open(slot, server, games) then
    for game_type in string.gmatch(server.types, '[^,]+') do
      own('ZADD', key('Placement', game_type), games / natural(server.capacity), slot)
    end
  else
    unrank(slot, server.types)
  end
  return games
end

-- What this incarnation leaves behind is dealt with by sweep_orphans.
local function orphan(slot, incarnation)
  own('SADD', key('Orphans'), slot .. ' ' .. incarnation)
end

local function unorphan(slot, incarnation)
  own('SREM', key('Orphans'), slot .. ' ' .. incarnation)
end

-- Nobody holds this slot from now on.
local function switch_off(slot, incarnation, cause)
  redis.call('HSET', key(slot), 'status', '0', 'players', '0', 'cause', cause, 'unused_since', integer(now_ms()))
  redis.call('DEL', key(slot, 'lease'), accusers(slot))
  orphan(slot, incarnation)
  rank(slot)
  announce('ServerOff', slot)
end

-- Switches a server off that did not leave by itself. What its death costs it is counted from when it is back.
local function declare_dead(slot, incarnation, cause)
  local falls = natural(redis.call('HGET', key(slot), 'falls')) or 0
  redis.call('HSET', key(slot), 'falls', integer(falls + 1))
  redis.call('HDEL', key(slot), 'probation_until', 'forgiven_at')
  switch_off(slot, incarnation, cause)
end

-- The server is there: its probation starts if it has died since it was there last, and its deaths are forgotten if
-- it has lived long enough. The periods (ms) stand in ARGV from this index on: first probation, longest probation,
-- how long a server must have lived.
local function readmit(slot, now, index)
  local hash = key(slot)
  local server = fields(hash, 'falls', 'probation_until', 'forgiven_at')
  local falls = natural(server.falls) or 0
  if falls < 1 then
    if server.falls .. server.probation_until .. server.forgiven_at ~= '' then
      -- Someone else's: with it, the entry could not be read.
      redis.call('HDEL', hash, 'falls', 'probation_until', 'forgiven_at')
    end
    return
  end
  -- No time is further away than it would be if it began now: the clock may have gone back.
  local probation = math.min(tonumber(ARGV[index]) * 2 ^ (falls - 1), tonumber(ARGV[index + 1]))
  local probation_until = math.min(natural(server.probation_until) or math.huge, now + probation)
  local forgiven_at = math.min(natural(server.forgiven_at) or math.huge, now + tonumber(ARGV[index + 2]))
  if now >= forgiven_at then
    redis.call('HDEL', hash, 'falls', 'probation_until', 'forgiven_at')
  else
    redis.call('HSET', hash, 'probation_until', integer(probation_until), 'forgiven_at', integer(forgiven_at))
  end
end

-- Notes that a server was heard, and since when there has been no gap. Half of a lease without any is one.
local function feel_pulse(now, lease_ttl)
  local since = natural(redis.pcall('GET', key('Servers:pulse')))
  if not since or since > now then
    since = now
  end
  redis.call('SET', key('Servers:pulse'), integer(since), 'PX', integer(math.max(1, math.floor(lease_ttl / 2))))
end

-- Whether servers have been heard for so long (ms) without a gap. A time in which the store was away, or by which its
-- clock went forward, is none in which anybody could do anything.
local function heard_for(now, period)
  local since = natural(redis.pcall('GET', key('Servers:pulse')))
  return since and now - since >= period
end

-- Whether every live server has had the time to renew its lease: if not, a lease that is gone says nothing, for it may
-- be the store that was away.
local function leases_count(now, lease_ttl)
  return heard_for(now, lease_ttl)
end

-- The sentence about a server that these observers don't hear.
local function silent(slot, observers)
  local names, itself = {}, false
  table.sort(observers)
  for _, observer in ipairs(observers) do
    if observer == slot then
      itself = true
    else
      table.insert(names, observer)
    end
  end
  local unnamed = #names - named_max
  if unnamed > 0 then
    names = { unpack(names, 1, named_max) }
    table.insert(names, unnamed .. ' more')
  end
  if itself then
    table.insert(names, 'the server itself')
  end
  if #names == 1 then
    return 'silent, says ' .. names[1]
  end
  return 'silent, say ' .. table.concat(names, ', ', 1, #names - 1) .. ' and ' .. names[#names]
end
