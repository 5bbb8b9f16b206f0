-- Turns a host's entry into what requests need: tables for its paths, and each route with its policies compiled.

local config = require "config"
local paths = require "paths"
local routes = require "routes"

local _M = {}

-- A worker that doesn't have the profile of a route (it is older or newer than the data) keeps the entry it had.
--
-- Hosts and routes have all fields from the start and in one order: code that is compiled for one of them fits the others.
function _M.build(entry, former)
    for _, route in ipairs(entry.routes) do
        if route.profile and not config.profiles[route.profile] and former then
            return nil
        end
    end
    local host = {
        version = false, raw = false, host = entry.host, routes = {}, cert = entry.cert or false,
        client = entry.client or false, hsts = entry.hsts or false, ciphers = entry.ciphers or false,
        exact = false, prefix = false, longest = false, regex = false, find = false,
    }
    for i, route in ipairs(entry.routes) do
        host.routes[i] = routes.prepare(route, host)
    end
    paths.index(host)
    return host
end

return _M
