-- Several buckets in one step: the generic cell rate algorithm, by the clock of this server; and
-- what the replicas know of a pause.
--
-- KEYS: the pause, then one per bucket. ARGV: who asks about the pause ('': nobody), whether it
-- refuses ('1'), then three per bucket: microseconds per token, tokens of a full bucket, tokens to
-- take (0: only look). They are asked in order; the first that refuses ends the taking, and what
-- was taken before stays taken.
-- Answer: which bucket refused (0: none), after how many microseconds it would not; of the pause
-- its kind (0: none, 1: it lasts, 2: over, and who asks is to find out, 3: who asks is finding out,
-- 4: another one is), the microseconds it lasts, its length; and for each bucket the microseconds
-- until it is full.

-- Counted from 2023-11, so that a double keeps fractions of a microsecond.
local time = redis.call('TIME')
local now = (time[1] - 1700000000) * 1000000 + time[2]
local answer = {0, 0, 0, 0, 0}
local me, refuses = ARGV[1], ARGV[2] == '1'
local is_over = false

local told = me ~= '' and redis.call('GET', KEYS[1])
if told then
  local ends, owner, length, probing = string.match(told, '^(%d+) (%w+) (%d+) ([01])$')
  local lasts = math.ceil(ends - now)
  answer[5] = tonumber(length)
  if lasts <= 0 then
    is_over = true
  elseif probing == '0' then
    answer[3], answer[4] = 1, lasts
  elseif owner == me then
    answer[3] = 3
  else
    answer[3] = 4
  end
end
local stopped = refuses and (answer[3] == 1 or answer[3] == 4)

for i = 2, #KEYS do
  local key = KEYS[i]
  local per_token, burst, tokens = ARGV[3 * i - 3], ARGV[3 * i - 2], tonumber(ARGV[3 * i - 1])
  local full = per_token * burst
  local full_at = math.max(tonumber(redis.call('GET', key) or now), now)
  -- After a failover to a server whose clock is behind, no bucket is more than empty.
  full_at = math.min(full_at, now + full)
  if 0 < tokens and answer[1] == 0 and not stopped then
    local taken = full_at + per_token * tokens
    local over = taken - now - full
    -- Less than a microsecond is rounding.
    if 1 <= over then
      answer[1], answer[2] = i - 1, math.ceil(over)
    else
      full_at = taken
      -- A full bucket is no bucket: the key goes when it would be one.
      local life = math.ceil((full_at - now) / 1000)
      redis.call('SET', key, string.format('%.17g', full_at), 'PX', math.max(life, 1))
    end
  end
  answer[i + 4] = math.ceil(full_at - now)
end

-- Who finds out has five seconds for it; then it is the turn of whoever asks next.
if is_over and answer[1] == 0 then
  local lease = string.format('%.0f %s %.0f 1', now + 5000000, me, answer[5])
  redis.call('SET', KEYS[1], lease, 'PX', 65000)
  answer[3] = 2
end

return answer
