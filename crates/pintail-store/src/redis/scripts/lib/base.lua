-- Part of every script: keys, the clock, reading hashes.
-- ARGV[1] is the key prefix; it stands before every key and channel.

local prefix = ARGV[1]

local function key(...)
  return prefix .. table.concat({ ... }, ':')
end

-- Redis's own clock: the only one that all servers share.
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

local function integer(number)
  return string.format('%.0f', number)
end

-- A count or a time that others may have written; nil if it is none.
local function natural(text)
  return type(text) == 'string' and #text <= 15 and string.match(text, '^%d+$') and tonumber(text) or nil
end

-- Runs a command on a key that only Pintail writes. What others have put there in another type goes: it says nothing,
-- and would stand in the way of every server for ever.
local function own(command, name, ...)
  local answer = redis.pcall(command, name, ...)
  if type(answer) ~= 'table' or not answer.err then
    return answer
  elseif string.find(answer.err, 'WRONGTYPE', 1, true) then
    redis.call('DEL', name)
  end
  return redis.call(command, name, ...)
end

local function by_name(values, names)
  local named = {}
  for i, name in ipairs(names) do
    named[name] = values[i] or ''
  end
  return named
end

-- The fields of a hash by name, '' for one that is not there.
local function fields(hash, ...)
  return by_name(redis.call('HMGET', hash, ...), { ... })
end

-- The same for a hash that others may have written: nil if the key holds something else.
local function foreign_fields(hash, ...)
  local values = redis.pcall('HMGET', hash, ...)
  return not values.err and by_name(values, { ... }) or nil
end

local function announce(channel, slot)
  redis.call('PUBLISH', key(channel), slot)
end

local function send(slot, letter)
  redis.call('PUBLISH', key(slot, 'mail'), letter)
end

-- Forgets the oldest entries of a sorted set by time that nobody dealt with, so that it stays bounded.
local function forget_older(timeline, now, age)
  redis.call('ZREMRANGEBYSCORE', timeline, '-inf', '(' .. integer(now - age))
end
