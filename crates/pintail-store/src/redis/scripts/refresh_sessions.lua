-- Starts the time of a gateway's sessions anew.
--
-- KEYS[1]  the first of the sessions
-- ARGV     2 session TTL (ms), then session, generation, session, generation, …
-- Returns  the sessions whose current connection has another generation, or that are not there

local ttl, stale = ARGV[2], {}
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('HGET', key('Session', id), 'generation') == ARGV[i + 1] then
    keep_session(id, ttl)
  else
    table.insert(stale, id)
  end
end
return stale
