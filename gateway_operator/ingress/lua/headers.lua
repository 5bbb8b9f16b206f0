-- Headers that a route adds: to answers, and to what its backend gets.

local config = require "config"

local _M = {}

-- Strict-Transport-Security, for hosts with TLS, on every answer over it.
function _M.compile_strict(_, host)
    if not (host.hsts and config.hsts) then
        return nil
    end
    return function()
        if ngx.var.https == "on" then
            ngx.header["Strict-Transport-Security"] = config.hsts
        end
    end
end

function _M.compile(route)
    local answer, vhost, prefix = route.headers, route.host, route.prefix
    local basic, auth = route.basic, route.auth
    if not (answer or vhost or prefix or basic or auth) then
        return nil
    end
    return function(ctx)
        local var = ngx.var
        for _, pair in ipairs(answer or {}) do
            ngx.header[pair[1]] = pair[2]
        end
        if vhost then
            var.gw_vhost = vhost
        end
        if prefix then
            ngx.req.set_header("X-Forwarded-Prefix", prefix)
        end
        if basic then
            var.gw_realm, var.gw_passwords = basic.realm, "passwords/" .. basic.file
        end
        if auth then
            var.gw_path, var.gw_host = ctx.path, ctx.host.host
            var.gw_escaped = ngx.escape_uri(var.request_uri)
        end
    end
end

return _M
