-- Turns a host's entry into what requests need: tables for its paths, and each route with its policies compiled.

local config = require "config"
local paths = require "paths"
local routes = require "routes"

local _M = {}

-- A worker that doesn't have the profile of a route (it is older or newer than the data) keeps the entry it had.
function _M.build(entry, former)
    for _, route in ipairs(entry.routes) do
        if route.profile and not config.profiles[route.profile] and former then
            return nil
        end
    end
    for _, route in ipairs(entry.routes) do
        routes.prepare(route, entry)
    end
    paths.index(entry)
    return entry
end

return _M
