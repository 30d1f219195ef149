-- For wrk: the same call again and again, the tokens of a file in turn.
local method, body = "%(method)s", '%(body)s'
local before = method .. " %(path)s HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer "
local after, tokens, spaces, at = "\r\n\r\n", {}, { "" }, 0

function init()
    for token in io.lines("%(tokens)s") do
        tokens[#tokens + 1] = token
    end
    if method == "POST" then
        after = "\r\nContent-Type: application/json\r\nContent-Length: " .. #body + 4 .. "\r\n\r\n" .. body
        -- LuaJIT hashes a long string by its ends and its middle: were all ends alike, it would
        -- spend its time comparing. White space behind JSON means nothing.
        for n = 0, 255 do
            local space = ""
            for place = 0, 3 do
                local digit = math.floor(n / 4 ^ place) %% 4 + 1
                space = space .. (" \t\r\n"):sub(digit, digit)
            end
            spaces[n + 1] = space
        end
    end
end

function request()
    at = at + 1
    return before .. tokens[at %% #tokens + 1] .. after .. spaces[at %% #spaces + 1]
end

function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
    io.write(string.format("counted %%d %%d %%d\n", summary.requests, summary.duration, failed))
end
