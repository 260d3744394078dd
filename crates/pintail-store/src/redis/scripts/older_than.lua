-- What has been in a sorted set by time for some time, oldest first.
--
-- KEYS[1]  the sorted set
-- ARGV     2 age (ms), 3 limit
-- Returns  the members

return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', integer(now_ms() - tonumber(ARGV[2])), 'LIMIT', 0, ARGV[3])
