-- nginx as a gateway: tokens verified by OpenSSL, the batch read by cjson. Verified tokens are kept
-- when a cache is asked for.
local pkey, digest, cjson = require "openssl.pkey", require "openssl.digest", require "cjson.safe"
local decode = require("ngx.base64").decode_base64url
local M = {}
local settings, key, known

function M.init(given)
    settings = given
    local file = assert(io.open(given.key))
    key = pkey.new(file:read("*a"))
    file:close()
    if given.cache > 0 then known = assert(require("resty.lrucache").new(given.cache)) end
end

-- One of the two numbers of an ES256 signature, as DER wants it.
local function number(raw)
    raw = raw:gsub("^%z+", "")
    if raw == "" or raw:byte() > 127 then raw = "\0" .. raw end
    return "\2" .. string.char(#raw) .. raw
end

local function der(raw)
    if #raw ~= 64 then return nil end
    local both = number(raw:sub(1, 32)) .. number(raw:sub(33))
    return "\48" .. string.char(#both) .. both
end

-- The end of a token's life, if all else about it is good.
local function verify(token)
    local head, payload, signature = token:match("^([%w_-]+)%.([%w_-]+)%.([%w_-]+)$")
    if not head then return nil end
    local told = cjson.decode(decode(head) or "")
    if type(told) ~= "table" or told.alg ~= settings.algorithm then return nil end
    local raw = decode(signature)
    if raw and settings.algorithm == "ES256" then raw = der(raw) end
    if not raw then return nil end
    local ran, good = pcall(key.verify, key, raw, digest.new("sha256"):update(head .. "." .. payload))
    local claims = cjson.decode(decode(payload) or "")
    if not ran or not good or type(claims) ~= "table" then return nil end
    if claims.iss ~= settings.issuer or claims.aud ~= settings.audience then return nil end
    return type(claims.exp) == "number" and claims.exp or nil
end

function M.accept()
    local field = ngx.var.http_authorization
    if not field or field:sub(1, 7) ~= "Bearer " then return ngx.exit(401) end
    local token = field:sub(8)
    local ends = known and known:get(token)
    if not ends then
        ends = verify(token)
        if ends and known then known:set(token, ends) end
    end
    if not ends or ends <= ngx.time() then return ngx.exit(401) end
end

function M.validate()
    ngx.req.read_body()
    local batch = cjson.decode(ngx.req.get_body_data() or "")
    if type(batch) ~= "table" or type(batch.curDeptId) ~= "number" or type(batch.users) ~= "table" then
        return ngx.exit(400)
    end
    for _, user in ipairs(batch.users) do
        if type(user.personalCapacity) ~= "number" or type(user.isAllocateCapacity) ~= "boolean" then
            return ngx.exit(400)
        end
    end
end

return M
