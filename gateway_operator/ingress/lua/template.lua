-- Texts with variables of nginx in them, as `${name}`: split once, then joined for each request.

local request = require "request"

local concat = table.concat
local gmatch, sub = string.gmatch, string.sub

local _M = {}

-- What a request's variables no longer say, because the router changed its URI, or what nginx has no variable for.
local function value(name, ctx)
    if name == "uri" then
        return ctx.path
    elseif name == "server_name" then
        return ctx.host.host
    elseif name == "escaped_request_uri" then
        return ngx.escape_uri(request.get("request_uri"))
    elseif name == "request_id" then
        name = "gw_request_id"
    end
    return request.get(name) or ""
end

-- Return a function that gives the text for a request's context.
function _M.compile(text)
    local parts, names, position = {}, {}, 1
    for start, name, stop in gmatch(text, "()%${([a-z0-9_]+)}()") do
        parts[#parts + 1] = sub(text, position, start - 1)
        parts[#parts + 1] = ""
        names[#parts] = name
        position = stop
    end
    if position == 1 then
        return function()
            return text
        end
    end
    parts[#parts + 1] = sub(text, position)
    return function(ctx)
        for place, name in pairs(names) do
            parts[place] = value(name, ctx)
        end
        return concat(parts)
    end
end

return _M
