-- A page of the rooms with a label, newest first.
--
-- KEYS[1]  the label's list, Rooms:<label>
-- ARGV     2 where the page before ended ('' for the first page), 3 limit
-- Returns  { where this page ends ('' if it is the last), room, version, body, room, version, body, … }

local list, before, limit = KEYS[1], ARGV[2], tonumber(ARGV[3])
local start = (before == '' and '+') or ('(' .. before)
local marks = redis.call('ZREVRANGEBYLEX', list, start, '-', 'LIMIT', 0, limit)
local page = { (#marks == limit and marks[#marks]) or '' }
for _, mark in ipairs(marks) do
  local created, id = string.match(mark, '^(%d+):(%x+)$')
  local room = id and fields(key('Room', id), 'version', 'body', 'created')
  if room and room.created == created then
    table.insert(page, id)
    table.insert(page, room.version)
    table.insert(page, room.body)
  else
    redis.call('ZREM', list, mark)
  end
end
return page
