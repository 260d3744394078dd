-- The room that a key names: an invite code, or the place of a session.
--
-- KEYS[1]  the key
-- ARGV     nothing further
-- Returns  { room, version, body }, or nothing if the room does not exist

local id = redis.call('GET', KEYS[1])
local room = id and fields(key('Room', id), 'version', 'body')
if room and room.version ~= '' then
  return { id, room.version, room.body }
end
return {}
