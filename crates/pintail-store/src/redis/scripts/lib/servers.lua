-- Part of the scripts that change servers: their place in the ranking, and how they go.

local function hosted_games(slot, incarnation)
  return key(slot, 'games', incarnation)
end

local function has_lease(slot, incarnation)
  return redis.pcall('GET', key(slot, 'lease')) == incarnation
end

-- Takes a slot out of the rankings of these game types.
local function unrank(slot, types)
  for game_type in string.gmatch(types, '[^,]+') do
    redis.call('ZREM', key('Placement', game_type), slot)
  end
end

-- Counts the games of a server and puts it where placement looks for it, if it can take one more.
local function rank(slot)
  local server = foreign_fields(key(slot), 'status', 'incarnation', 'types', 'capacity')
  if not server or server.incarnation == '' then
    return 0
  end
  local games = redis.call('SCARD', hosted_games(slot, server.incarnation))
  local capacity = tonumber(server.capacity) or 0
  redis.call('HSET', key(slot), 'games', games)
  if server.status == '1' and games < capacity then
    for game_type in string.gmatch(server.types, '[^,]+') do
      redis.call('ZADD', key('Placement', game_type), games / capacity, slot)
    end
  else
    unrank(slot, server.types)
  end
  return games
end

-- What this incarnation leaves behind is dealt with by sweep_orphans.
local function orphan(slot, incarnation)
  redis.call('SADD', key('Orphans'), slot .. ' ' .. incarnation)
end

local function unorphan(slot, incarnation)
  redis.call('SREM', key('Orphans'), slot .. ' ' .. incarnation)
end

-- Nobody holds this slot from now on.
local function switch_off(slot, incarnation)
  redis.call('HSET', key(slot), 'status', '0', 'unused_since', integer(now_ms()))
  redis.call('DEL', key(slot, 'lease'))
  orphan(slot, incarnation)
  rank(slot)
  announce('ServerOff', slot)
end
