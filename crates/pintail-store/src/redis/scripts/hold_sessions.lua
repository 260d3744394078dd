-- A gateway says which connections it holds: starts their sessions' time anew, and puts back what the store lost.
--
-- KEYS[1]  the first of the sessions
-- ARGV     2 gateway, 3 incarnation, 4 session TTL (ms), then session, generation, token hash, name for each
-- Returns  the sessions that have a newer connection

local gateway, incarnation, ttl, stale = ARGV[2], ARGV[3], ARGV[4], {}
for i = 5, #ARGV, 4 do
  local id, generation, token, name = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local session = key('Session', id)
  local known = fields(session, 'generation', 'gateway', 'incarnation', 'away')
  if known.generation ~= '' and tonumber(known.generation) > tonumber(generation) then
    table.insert(stale, id)
  else
    if known.gateway ~= gateway or known.incarnation ~= incarnation or known.away ~= '0' then
      if known.gateway ~= '' then
        redis.call('SREM', connected_sessions(known.gateway, known.incarnation), id)
      end
      redis.call('HSET', session, 'gateway', gateway, 'incarnation', incarnation, 'away', '0')
      redis.call('SADD', connected_sessions(gateway, incarnation), id)
      redis.call('ZREM', key('Sessions:away'), id)
    end
    if known.generation ~= generation then
      redis.call('HSET', session, 'generation', generation, 'token', token, 'name', name)
    end
    keep_session(id, ttl)
  end
end
return stale
