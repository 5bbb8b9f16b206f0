-- Prepares a route once per worker: what it asks for beyond "send it there" becomes a list of checks in the order of the
-- contract, so that a route without policies costs nothing for them.

local access = require "access"
local canary = require "canary"
local client_auth = require "client_auth"
local config = require "config"
local cors = require "cors"
local headers = require "headers"
local limits = require "limits"
local redirect = require "redirect"
local request = require "request"
local rewrite = require "rewrite"
local split = require "split"

local set = request.set

local _M = {}

-- The order in which a request meets them. Each `compile(route, host)` gives nil or a function of the request's context
-- that returns the status to end with, or nil to let it pass.
local ORDER = {
    redirect.compile,
    cors.compile,
    limits.compile,
    access.compile,
    client_auth.compile,
    headers.compile,
    canary.compile,
    split.compile,
    rewrite.compile,
}

local LOG = {
    namespace = function(route) return route.labels[1] end,
    ingress_name = function(route) return route.labels[2] end,
    service_name = function(route) return route.labels[3] end,
    service_port = function(route) return route.labels[4] end,
    location_path = function(route) return route.path end,
    proxy_upstream_name = function(route)
        local l = route.labels
        return l[3] ~= "" and l[1] .. "-" .. l[3] .. "-" .. l[4] or ""
    end,
}

-- Only the variables that the log format or a header names are written: each one costs every request.
local function log_values(route)
    local values = {}
    for i, name in ipairs(config.log) do
        values[i] = LOG[name](route)
    end
    return values
end

local function after(first, second)
    return second and function(ctx)
        return first(ctx) or second(ctx)
    end or first
end

-- All checks of a route as one function; false when there are none.
local function chain(route, host)
    local found = false
    for i = #ORDER, 1, -1 do
        local check = ORDER[i](route, host)
        found = check and after(check, found) or found
    end
    return found
end

local function codes_of(route)
    local codes = {}
    for _, code in ipairs(route.codes or {}) do
        codes[tonumber(code)] = true
    end
    return codes
end

-- Return what requests need of a route's entry. Where its place is the one that nginx finds by itself (`location /`), the
-- URI can stay as it is.
function _M.prepare(route, host)
    local profile = route.profile or "none"
    return {
        path = route.path, exact = route.exact or false, regex = route.regex or false, pattern = false,
        profile = route.profile or false, location = "/.gw/" .. profile,
        plain = profile == config.plain and not route.host, check = chain(route, host),
        upstream = route.upstream or false, split = route.split or false, status = route.status or 503,
        labels = route.labels, log = log_values(route), series = false, by_canary = false,
        tries = route.tries or config.tries, timeouts = route.timeouts or false,
        tls = route.tls or false, error = route.error or false, codes = codes_of(route), jumps = route.jumps or false,
        canaries = route.canaries or false,
    }
end

-- Write these variables of a route; false where none is named.
local function writer()
    local found = false
    for i = #config.log, 1, -1 do
        local name, rest = config.log[i], found
        found = function(route)
            set(name, route.log[i])
            return rest and rest(route)
        end
    end
    return found
end

-- Called once the settings are known.
function _M.open()
    _M.note = writer()
end

return _M
