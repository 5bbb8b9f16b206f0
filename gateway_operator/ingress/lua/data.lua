-- The unix socket's `/data`: the controller writes updates here and asks what this nginx has; the supervisor tells with
-- DELETE that nginx will end soon.

local cjson = require "cjson.safe"
local update = require "update"

local dict = ngx.shared.gateway

local _M = {}

local function reply(status, value)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json"
    ngx.print(cjson.encode(value))
    return ngx.exit(ngx.OK)
end

local function body()
    ngx.req.read_body()
    local text = ngx.req.get_body_data()
    local path = not text and ngx.req.get_body_file()
    if path then
        local file = assert(io.open(path, "rb"))
        text = file:read("*a")
        file:close()
    end
    return text or ""
end

local function get()
    return reply(200, {
        version = update.version(),
        digest = dict:get("#g") or "",
        keys = dict:get("#k") or 0,
        free = dict:free_space(),
        capacity = dict:capacity(),
    })
end

local function post()
    local headers = ngx.req.get_headers()
    local from, load = headers["x-data-from"], headers["x-data-load"]
    local version = update.version()
    if from ~= "*" and tonumber(from) ~= version then
        return reply(409, { version = version })
    end
    local ok, err, key = update.apply(body(), from == "*" and (load or "") or nil)
    if ok then
        return reply(200, { version = update.version() })
    end
    return reply(err == "full" and 507 or 400, { error = err, key = key })
end

function _M.run()
    local method = ngx.req.get_method()
    if method == "GET" then
        return get()
    elseif method == "POST" then
        return post()
    elseif method == "DELETE" then
        update.drain()
        return reply(200, { version = update.version() })
    end
    return ngx.exit(405)
end

return _M
