-- Decides what happens to a request, before nginx looks for a location: host, path, policies, backend.
--
-- The URI becomes `/.gw/<profile>`, so nginx's own search lands in the location whose directives the route asked for,
-- and its own checks (body size) use them. Clients can't get there: whatever they ask for is overwritten here. Where a
-- route asks for nothing special the URI stays, and nginx finds `location /`.

local config = require "config"
local ids = require "ids"
local paths = require "paths"
local redirect = require "redirect"
local request = require "request"
local routes = require "routes"
local store = require "store"
local stash = require "stash"

local byte, sub = string.byte, string.sub
local context, get, set = request.context, request.get, request.set
local exit, sleep = ngx.exit, ngx.sleep
local http_version = ngx.req.http_version
local get_headers, is_internal = ngx.req.get_headers, ngx.req.is_internal
local set_header, set_uri = ngx.req.set_header, ngx.req.set_uri

local _M = {}
local DOT, OURS = 46, "/.gw/"
local PAUSE, PAUSES = 0.01, 200  -- how long a worker waits for data that fits its profiles: 2 s

-- Return the host and the route of a request; with false when this worker can't serve it (yet).
local function look(name, path)
    store.sync()
    local host = store.host(name)
    if not host then
        return nil
    end
    local route = paths.match(host, path)
    if not route then
        return host
    end
    local known = not route.profile or config.profiles[route.profile]
    if known and (not route.upstream or store.upstream(route.upstream)) then
        return host, route
    end
    return host, false
end

-- A new worker may be ahead of the data by a few milliseconds (its profile went, the data follows), so it waits a little.
local function wait(name, path)
    for _ = 1, PAUSES do
        sleep(PAUSE)
        local host, route = look(name, path)
        if route ~= false then
            return host, route
        end
    end
end

-- End with a status, or hand it to the backend that answers this route's errors.
local function fail(ctx, status)
    local route = ctx.route
    if route.error and route.codes[status] then
        return set_uri(route.location .. "/" .. status, false)
    end
    return exit(status)
end

-- What the location of an error page tells the backend that answers it.
local function prepare_errors(route)
    local labels = route.labels
    set("gw_error_upstream", route.error)
    set("gw_namespace", labels[1])
    set("gw_ingress", labels[2])
    set("gw_service", labels[3])
    set("gw_port", labels[4])
end

-- What all phases know of a request: eight fields that are there from the start (see hosts.build), and whatever a policy
-- adds; a larger table would cost every request the double.
local function begin(host, route, path)
    local ctx = {
        host = host, route = route, path = path, upstream = route.upstream, location = route.location,
        balanced = false, endpoint = false, canary = false,
    }
    if context(ctx) ~= ctx then
        ngx.ctx = ctx
    end
    return ctx
end

-- Lead nginx to the route's place. The plain one is where it goes by itself, unless the path is one of ours.
local function go(ctx)
    local route, path = ctx.route, ctx.path
    if route.plain and not ctx.uri and ctx.location == route.location and sub(path, 1, 5) ~= OURS then
        return
    end
    if ctx.uri then
        set("gw_uri", ctx.uri)
    end
    set_uri(ctx.location, false)
end

-- What holds before a route's own checks: the status to end with, or nil.
local function check(ctx, over_tls)
    local route = ctx.route
    local status = route.tls and redirect.to_tls(over_tls)
    return status or route.check and route.check(ctx)
end

-- Old clients may leave out the header that backends are told the host by. ($http_host would be kept as it was when asked.)
local function name_host(name)
    if not get_headers(0).host then
        set_header("Host", name)
    end
end

local function decide(over_tls)
    local path = get("uri")
    if byte(path, 2) == DOT and sub(path, 1, 5) == OURS and is_internal() then
        return  -- an error page, or the subrequest of an authentication
    end
    if config.ids then
        ids.give()
    end
    local name = get("host")
    if get("server_protocol") < "HTTP/1.1" then
        name_host(name)
    end
    local host, route = look(name, path)
    if route == false then
        host, route = wait(name, path)
    end
    if store.draining and http_version() < 2 then
        request.answer("Connection", "close")
    end
    if over_tls and config.hsts and not (host and host.hsts) then
        set("strict_transport_security", "")
    end
    if not route then
        return exit(host and 404 or 503)
    end
    local ctx = begin(host, route, path)
    if routes.note then
        routes.note(route)
    end
    if route.error then
        prepare_errors(route)
    end
    if route.jumps then
        stash.put(ctx)
    end
    local status = check(ctx, over_tls)
    if status then
        return fail(ctx, status)
    end
    if not ctx.upstream then
        return fail(ctx, route.status)
    end
    return go(ctx)
end

-- For the server that listens without TLS, and for the one with it: a variable that tells which would cost each request.
function _M.route()
    decide(false)
end

function _M.route_tls()
    decide(true)
end

-- gRPC is forwarded by nginx's own path, so it gets it back once the location is found.
function _M.restore()
    set_uri(context().path, false, true)
end

return _M
