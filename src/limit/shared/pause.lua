-- A replica tells the others of a pause, by the clock of this server; or that there is none.
--
-- KEYS: the pause. ARGV: who tells, the microseconds it lasts (0: the probe was served), its length
-- in microseconds.

local time = redis.call('TIME')
local now = (time[1] - 1700000000) * 1000000 + time[2]
local me, lasts, length = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local told = redis.call('GET', KEYS[1])
local ends, owner, _, probing = string.match(told or '', '^(%d+) (%w+) (%d+) ([01])$')

if lasts == 0 then
  -- What another one has told since, stands.
  if owner == me then
    redis.call('DEL', KEYS[1])
  end
  return 0
end

local until_then = now + lasts
if probing == '0' then
  until_then = math.max(until_then, tonumber(ends))
end
-- Kept for a while after its end, so that one call finds out whether it is over.
local life = math.ceil((until_then - now) / 1000) + 60000
redis.call('SET', KEYS[1], string.format('%.0f %s %.0f 0', until_then, me, length), 'PX', life)
return 1
