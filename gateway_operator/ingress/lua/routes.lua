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
local rewrite = require "rewrite"

local _M = {}

-- The order in which a request meets them. Each `compile(route, host)` gives nil or a function of the request's context
-- that returns the status to end with, or nil to let it pass.
local ORDER = {
    headers.compile_strict,
    redirect.compile_tls,
    redirect.compile,
    cors.compile,
    limits.compile,
    access.compile,
    client_auth.compile,
    headers.compile,
    canary.compile,
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

-- Only the variables that the log format prints are written: each one costs every request.
local function log_variables(route)
    local values = {}
    for i, name in ipairs(config.log) do
        values[i] = LOG[name](route)
    end
    route.log = values
end

function _M.prepare(route, host)
    local checks = {}
    for _, compile in ipairs(ORDER) do
        checks[#checks + 1] = compile(route, host)
    end
    route.checks = checks
    route.location = "/.gw/" .. (route.profile or "none")
    route.tries = route.tries or config.tries
    log_variables(route)
    if route.codes then
        local codes = {}
        for _, code in ipairs(route.codes) do
            codes[tonumber(code)] = true
        end
        route.codes = codes
    end
end

return _M
