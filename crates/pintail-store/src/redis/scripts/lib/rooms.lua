-- Part of the scripts that change rooms.

local function list_of(label)
  return key('Rooms', label)
end

local function each_label(labels)
  return string.gmatch(labels, '[^\n]+')
end

-- Removes some entries of a list whose rooms have expired. Each change looks at a few at random, so expired entries
-- stay a fraction of a list that changes, even if nobody ever reads it.
local function trim(list)
  for _, mark in ipairs(redis.call('ZRANDMEMBER', list, 4)) do
    if redis.call('EXISTS', key('Room', string.sub(mark, 18))) == 0 then
      redis.call('ZREM', list, mark)
    end
  end
end
