-- Makes a connection the current one of its session.
--
-- KEYS[1]  the session
-- ARGV     2 session, 3 token hash, 4 'new' | 'resume', 5 name ('' keeps the old one), 6 gateway, 7 incarnation,
--          8 session TTL (ms)
-- Returns  { 'accepted', generation, name } | { 'unknown' } | { 'wrong-token' }

local id, token, mode, name, gateway, incarnation, ttl = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local known = fields(KEYS[1], 'token', 'name', 'gateway', 'incarnation', 'away')
if known.token == '' and mode == 'resume' then
  return { 'unknown' }
elseif known.token ~= '' and known.token ~= token then
  return { 'wrong-token' }
end

if name == '' then
  name = known.name
end
local generation = redis.call('HINCRBY', KEYS[1], 'generation', 1)
if known.gateway ~= '' then
  redis.call('SREM', connected_sessions(known.gateway, known.incarnation), id)
  if known.away == '0' and known.incarnation ~= incarnation then
    send(known.gateway, 'session-moved ' .. id .. ' ' .. integer(generation))
  end
end
redis.call('HSET', KEYS[1], 'token', token, 'name', name, 'gateway', gateway, 'incarnation', incarnation, 'away', '0')
redis.call('SADD', connected_sessions(gateway, incarnation), id)
redis.call('ZREM', key('Sessions:away'), id)
keep_session(id, ttl)
return { 'accepted', integer(generation), name }
