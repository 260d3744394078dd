-- Writes to the journals of some games.
--
-- KEYS[1]  the record of the first
-- ARGV     2 how long an owner must have run a game to prove that it can be run (ms), then for each write:
--          game, slot, incarnation, epoch, number (of the first entry, or the snapshot's), format ('' for entries),
--          how many payloads, the payloads: the entries, or the one snapshot
-- Returns  for each write 'committed' | 'fenced' | 'gap' | 'unknown'
--
-- What is spoiled costs its own game a snapshot, which mends it, and the others nothing.

local proven_after = tonumber(ARGV[2])

-- How many values are pushed with one command: Lua's stack holds no more than some thousands.
local pushed_at_once = 1000

-- What a write is judged by. It is read for each write, so there is no more of it than that.
local function written_record(id)
  local values = redis.pcall('HMGET', key('Game', id), 'slot', 'incarnation', 'epoch', 'outcome', 'committed',
    'snapshot', 'orphaned', 'attempts')
  return not values.err and values[1] and {
    slot = values[1],
    incarnation = values[2] or '',
    epoch = values[3] or '',
    outcome = values[4] or '',
    committed = values[5] or '',
    snapshot = values[6] or '',
    orphaned = values[7] or '',
    attempts = values[8] or '',
  } or nil
end

local function append(id, record, first, from, to)
  local committed = entry_number(record.committed)
  if not is_complete(id, record) or first > committed + 1 then
    return 'gap'
  end
  local last = first + to - from
  if last > committed then
    for start = from + committed + 1 - first, to, pushed_at_once do
      redis.call('RPUSH', journal_of(id), unpack(ARGV, start, math.min(start + pushed_at_once - 1, to)))
    end
    redis.call('HSET', key('Game', id), 'committed', integer(last))
  end
  return 'committed'
end

-- The game is where its owner is. One that was set aside stays so while its owner may be dead: then it waits for
-- whoever claims it, and what is written until then is not lost.
local function hold(id, record, token, slot, incarnation, epoch)
  local elsewhere = record.orphaned ~= '' or record.slot ~= slot
  if token == 'ahead' or (elsewhere and is_in_use(slot, incarnation) and has_lease(slot, incarnation)) then
    move_game(id, game_record(id), slot, incarnation, epoch)
  end
end

local function write(id, slot, incarnation, epoch, number, format, from, to)
  local record = written_record(id)
  if not record then
    return 'unknown'
  end
  local token = standing(record, incarnation, epoch)
  if token == 'fenced' then
    return 'fenced'
  elseif format == '' and token == 'ahead' then
    return 'gap'
  end
  local outcome = format == '' and append(id, record, tonumber(number), from, to)
    or write_snapshot(id, record, token, number, format, ARGV[from])
  if outcome == 'committed' then
    hold(id, record, token, slot, incarnation, epoch)
    prove(id, record, proven_after)
    if record.orphaned ~= '' then
      change_lane(id)
    end
  end
  return outcome
end

local outcomes = {}
local at = 3
while at < #ARGV do
  local from = at + 7
  local next_write = from + tonumber(ARGV[at + 6])
  local id, slot, incarnation, epoch, number, format = unpack(ARGV, at, at + 5)
  table.insert(outcomes, write(id, slot, incarnation, epoch, number, format, from, next_write - 1))
  at = next_write
end
return outcomes
