-- Several buckets in one step: the generic cell rate algorithm, by the clock of this server.
--
-- KEYS: one per bucket. ARGV: three per bucket: microseconds per token, tokens of a full bucket,
-- tokens to take (0: only look). They are asked in order; the first that refuses ends the taking,
-- and what was taken before stays taken.
-- Answer: which one refused (0: none), after how many microseconds it would not, and for each
-- bucket the microseconds until it is full.

-- Counted from 2023-11, so that a double keeps fractions of a microsecond.
local time = redis.call('TIME')
local now = (time[1] - 1700000000) * 1000000 + time[2]
local answer = {0, 0}

for i, key in ipairs(KEYS) do
  local per_token, burst, tokens = ARGV[3 * i - 2], ARGV[3 * i - 1], tonumber(ARGV[3 * i])
  local full = per_token * burst
  local full_at = math.max(tonumber(redis.call('GET', key) or now), now)
  -- After a failover to a server whose clock is behind, no bucket is more than empty.
  full_at = math.min(full_at, now + full)
  if 0 < tokens and answer[1] == 0 then
    local taken = full_at + per_token * tokens
    local over = taken - now - full
    -- Less than a microsecond is rounding.
    if 1 <= over then
      answer[1], answer[2] = i, math.ceil(over)
    else
      full_at = taken
      -- A full bucket is no bucket: the key goes when it would be one.
      local life = math.ceil((full_at - now) / 1000)
      redis.call('SET', key, string.format('%.17g', full_at), 'PX', math.max(life, 1))
    end
  end
  answer[i + 2] = math.ceil(full_at - now)
end

return answer
