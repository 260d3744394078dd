-- The games that failed, newest first.
--
-- KEYS[1]  the sorted set of them, by time
-- ARGV     2 limit
-- Returns  { game, its type, how long ago (ms), outcome, the same of the next, … }

local now = now_ms()
local answer = {}
local failed = redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #failed, 2 do
  local record = game_record(failed[i])
  if record and record.outcome ~= '' then
    table.insert(answer, failed[i])
    table.insert(answer, record.type)
    table.insert(answer, integer(math.max(0, now - tonumber(failed[i + 1]))))
    table.insert(answer, record.outcome)
  end
end
return answer
