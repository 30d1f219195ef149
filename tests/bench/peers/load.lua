-- For wrk: the same call again and again, the tokens of a file in turn.
local requests, body, at = {}, '%(body)s', 0

function init()
    for token in io.lines("%(tokens)s") do
        local head = "%(method)s %(path)s HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " .. token .. "\r\n"
        if "%(method)s" == "POST" then
            head = head .. "Content-Type: application/json\r\nContent-Length: " .. #body .. "\r\n"
        end
        requests[#requests + 1] = head .. "\r\n" .. body
    end
end

function request()
    at = at %% #requests + 1
    return requests[at]
end

function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
    io.write(string.format("counted %%d %%d %%d\n", summary.requests, summary.duration, failed))
end
