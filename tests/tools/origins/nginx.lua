ngx.req.read_body()
local body = ngx.req.get_body_data() or ""
local function hex(text)
    return ((text or ""):gsub(".", function(byte) return string.format("%02x", byte:byte()) end))
end
local fields = ngx.req.get_headers()
local first = function(value) return type(value) == "table" and value[1] or value end
ngx.header["X-Seen"] = table.concat({
    hex(ngx.req.get_method()), hex(ngx.var.request_uri), hex(body),
    hex(first(fields["content-type"])), hex(first(fields["x"])),
}, ":")
ngx.print("ok")
