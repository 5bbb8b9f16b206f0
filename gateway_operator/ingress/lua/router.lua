-- Decides what happens to a request, before nginx looks for a location: host, path, policies, backend.
--
-- The URI becomes `/.gw/<profile>`, so nginx's own search lands in the location whose directives the route asked for,
-- and its own checks (body size) use them. Clients can't get there: whatever they ask for is overwritten here.

local config = require "config"
local paths = require "paths"
local store = require "store"
local stash = require "stash"

local byte, find_text = string.byte, string.find
local exit, sleep = ngx.exit, ngx.sleep
local http_version = ngx.req.http_version
local is_internal, set_uri = ngx.req.is_internal, ngx.req.set_uri

local _M = {}
local DOT = 46
local PAUSE, PAUSES = 0.01, 200  -- how long a worker waits for data that fits its profiles: 2 s

-- A new worker may be ahead of the data by a few milliseconds (its profile went, the data follows), so it waits a little.
local function find(name, path)
    for _ = 1, PAUSES do
        store.sync()
        local host = store.host(name)
        if not host then
            return nil
        end
        local route = paths.match(host, path)
        local known = not route or not route.profile or config.profiles[route.profile]
        if known and (not route or not route.upstream or store.upstream(route.upstream)) then
            return host, route
        end
        sleep(PAUSE)
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

local function note(var, route)
    local names, values = config.log, route.log
    for i = 1, #names do
        var[names[i]] = values[i]
    end
end

-- What the location of an error page tells the backend that answers it.
local function prepare_errors(var, route)
    local labels = route.labels
    var.gw_error_upstream = route.error
    var.gw_namespace, var.gw_ingress, var.gw_service, var.gw_port = labels[1], labels[2], labels[3], labels[4]
end

function _M.route()
    local var = ngx.var
    local path = var.uri
    if byte(path, 2) == DOT and find_text(path, "/.gw/", 1, true) == 1 and is_internal() then
        return  -- an error page, or the subrequest of an authentication
    end
    local host, route = find(var.host, path)
    if store.draining and http_version() < 2 then
        ngx.header["Connection"] = "close"
    end
    if not route then
        return exit(host and 404 or 503)
    end
    local ctx = { host = host, route = route, path = path, upstream = route.upstream, location = route.location }
    ngx.ctx = ctx
    note(var, route)
    if route.error then
        prepare_errors(var, route)
    end
    if route.jumps then
        stash.put(ctx)
    end
    local checks = route.checks
    for i = 1, #checks do
        local status = checks[i](ctx)
        if status then
            return fail(ctx, status)
        end
    end
    if not ctx.upstream then
        return fail(ctx, route.status or 503)
    end
    if ctx.uri then
        var.gw_uri = ctx.uri
    end
    set_uri(ctx.location, false)
end

-- gRPC is forwarded by nginx's own path, so it gets it back once the location is found.
function _M.restore()
    set_uri(ngx.ctx.path, false, true)
end

return _M
