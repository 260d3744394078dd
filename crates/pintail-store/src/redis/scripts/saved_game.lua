-- Reads a game with what is kept of it, as of one moment.
--
-- KEYS[1]  the game's record
-- ARGV     2 game, 3… fields of the record
-- Returns  { { the fields }, the snapshot, { the entries } }
--
-- Not a transaction: a full Redis refuses those.

local id = ARGV[2]
return {
  redis.call('HMGET', KEYS[1], unpack(ARGV, 3)),
  redis.call('GET', key('Game', id, 'snapshot')),
  redis.call('LRANGE', key('Game', id, 'journal'), 0, -1),
}
