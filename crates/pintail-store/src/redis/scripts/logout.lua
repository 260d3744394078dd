-- Ends a session.
--
-- KEYS[1]  the session
-- ARGV     2 session, 3 the connection's generation
-- Returns  1 if it was the current connection, else 0
--
-- A session that is in a room goes on the list of those away, so that a lobby takes it out of the room.

local id, away = ARGV[2], key('Sessions:away')
local session = fields(KEYS[1], 'gateway', 'incarnation', 'generation')
if session.generation ~= ARGV[3] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('SREM', connected_sessions(session.gateway, session.incarnation), id)
local room = redis.call('GET', key('Session', id, 'room'))
if room and redis.call('EXISTS', key('Room', room)) == 1 then
  redis.call('ZADD', away, 'NX', integer(now_ms()), id)
else
  redis.call('ZREM', away, id)
end
return 1
