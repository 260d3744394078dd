-- Part of the scripts that change sessions.

local function connected_sessions(slot, incarnation)
  return key(slot, 'sessions', incarnation)
end

-- Starts the time of a session anew, and that of its place in a room.
local function keep_session(id, ttl)
  redis.call('PEXPIRE', key('Session', id), ttl)
  redis.call('PEXPIRE', key('Session', id, 'room'), ttl)
end

-- The session's connection at this gateway is lost.
local function leave(id, slot, incarnation, ttl)
  local session = fields(key('Session', id), 'gateway', 'incarnation', 'away')
  if session.gateway == slot and session.incarnation == incarnation and session.away == '0' then
    redis.call('HSET', key('Session', id), 'away', '1')
    local now = now_ms()
    forget_older(key('Sessions:away'), now, ttl)
    redis.call('ZADD', key('Sessions:away'), 'NX', integer(now), id)
  end
  redis.call('SREM', connected_sessions(slot, incarnation), id)
end
