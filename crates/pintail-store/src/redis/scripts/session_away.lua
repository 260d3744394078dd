-- A session's connection is lost.
--
-- KEYS[1]  the session
-- ARGV     2 session, 3 the connection's generation, 4 session TTL (ms)
-- Returns  nothing

local id, ttl = ARGV[2], tonumber(ARGV[4])
local session = fields(KEYS[1], 'gateway', 'incarnation', 'generation', 'away')
if session.generation == ARGV[3] and session.away == '0' then
  leave(id, session.gateway, session.incarnation, ttl)
  keep_session(id, ttl)
end
