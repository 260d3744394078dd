-- Starts the idle time of a room anew.
--
-- KEYS[1]  the room
-- ARGV     2 room TTL (ms)
-- Returns  nothing

local invite = redis.call('HGET', KEYS[1], 'invite')
if invite then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('PEXPIRE', key('Invite', invite), ARGV[2])
end
