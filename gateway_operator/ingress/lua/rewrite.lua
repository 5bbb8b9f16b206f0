-- The URI that a backend gets instead of the client's: `$1` to `$9` are the groups of the route's regular expression.
--
-- Groups hold decoded characters, so the result is escaped again: a space, `?` or line's end never gets out raw.

local request = require "request"

local escape = ngx.escape_uri
local gsub = string.gsub
local match = ngx.re.match
local WHOLE_URI = 0

local _M = {}

local function target_of(route, path)
    if not route.regex then
        return (gsub(route.rewrite, "%$%d", ""))
    end
    local groups = match(path, "^" .. route.path, "ijo") or {}
    return (gsub(route.rewrite, "%$(%d)", function(digit)
        return groups[tonumber(digit)] or ""
    end))
end

function _M.compile(route)
    if not route.rewrite then
        return nil
    end
    return function(ctx)
        local path = target_of(route, ctx.path)
        if path:byte() ~= 47 then
            path = "/" .. path
        end
        local args = request.get("args")
        ctx.path = path
        ctx.uri = escape(path, WHOLE_URI) .. ((args and args ~= "") and "?" .. args or "")
    end
end

return _M
