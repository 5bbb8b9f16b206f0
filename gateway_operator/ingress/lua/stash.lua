-- Keeps a request's context over nginx's internal redirects (error pages, sign-in), which drop `ngx.ctx`.
--
-- A variable survives them, so it holds the number under which the context lies here until the log phase.

local config = require "config"
local request = require "request"

local context, get = request.context, request.get

local _M = {}
local kept, last = {}, 0

function _M.put(ctx)
    if config.observe then
        last = last + 1
        kept[last] = ctx
        request.set("gw_stash", tostring(last))
    end
end

-- Return the context of a request in the log phase, and forget it.
function _M.take()
    local ctx = context()
    local route = ctx.route
    if route and not route.jumps then
        return ctx
    end
    local key = get("gw_stash")
    if key and key ~= "" then
        key = tonumber(key)
        ctx = kept[key] or ctx
        kept[key] = nil
    end
    return ctx
end

return _M
