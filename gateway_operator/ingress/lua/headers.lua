-- Headers that a route adds: to answers, and to what its backend gets.

local request = require "request"

local answer, get, set = request.answer, request.get, request.set

local _M = {}

function _M.compile(route)
    local added, vhost, prefix = route.headers, route.host, route.prefix
    local basic, auth = route.basic, route.auth
    if not (added or vhost or prefix or basic or auth) then
        return nil
    end
    return function(ctx)
        for _, pair in ipairs(added or {}) do
            answer(pair[1], pair[2])
        end
        if vhost then
            set("gw_vhost", vhost)
        end
        if prefix then
            ngx.req.set_header("X-Forwarded-Prefix", prefix)
        end
        if basic then
            set("gw_realm", basic.realm)
            set("gw_passwords", "passwords/" .. basic.file)
        end
        if auth then
            set("gw_path", ctx.path)
            set("gw_host", ctx.host.host)
            set("gw_escaped", ngx.escape_uri(get("request_uri")))
        end
    end
end

return _M
