-- Changes a room by compare-and-set.
--
-- KEYS[1]  the room
-- ARGV     2 room, 3 the version that the change was made from, 4 room TTL (ms), 5 session TTL (ms),
--          6 'put' | 'delete', 7 body, 8 invite code, 9 labels (one a line), 10 how many sessions enter,
--          then the sessions that enter, then those that leave
-- Returns  { 'committed', version } | { 'conflict' } | { 'elsewhere', session, room } | { 'invite-taken' }

local room, id, from, room_ttl, session_ttl = KEYS[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local operation, body, invite, labels = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local enter, leave = {}, {}
for i = 11, #ARGV do
  table.insert((i <= 10 + tonumber(ARGV[10]) and enter) or leave, ARGV[i])
end

local function place_of(session)
  return key('Session', session, 'room')
end

local function exists(other)
  return other and redis.call('EXISTS', key('Room', other)) == 1
end

local before = fields(room, 'version', 'invite', 'labels', 'created')
if before.version == '' then
  before.version = '0'
end
if before.version ~= from then
  return { 'conflict' }
end
for _, session in ipairs(enter) do
  local other = redis.call('GET', place_of(session))
  if other and other ~= id and exists(other) then
    return { 'elsewhere', session, other }
  end
end
if from == '0' and operation == 'put' and exists(redis.call('GET', key('Invite', invite))) then
  return { 'invite-taken' }
end

for _, session in ipairs(leave) do
  if redis.call('GET', place_of(session)) == id then
    redis.call('DEL', place_of(session))
  end
end
local mark = before.created .. ':' .. id
for label in each_label(before.labels) do
  redis.call('ZREM', list_of(label), mark)
end
if operation == 'delete' then
  redis.call('DEL', room, key('Invite', before.invite))
  return { 'committed', '0' }
end

local version, created = integer(tonumber(from) + 1), before.created
if from == '0' then
  created = string.format('%016.0f', now_us())
  mark = created .. ':' .. id
else
  invite = before.invite
end
redis.call('HSET', room, 'version', version, 'body', body, 'invite', invite, 'labels', labels, 'created', created)
redis.call('PEXPIRE', room, room_ttl)
redis.call('SET', key('Invite', invite), id, 'PX', room_ttl)
for label in each_label(labels) do
  trim(list_of(label))
  redis.call('ZADD', list_of(label), 0, mark)
end
for _, session in ipairs(enter) do
  redis.call('SET', place_of(session), id, 'PX', session_ttl)
end
return { 'committed', version }
