-- Session affinity: a cookie binds a client to an endpoint, the same one in every worker and replica.
--
-- The cookie holds a random key, from which the endpoint follows by hashing, so nobody keeps a table and no address is
-- told. Its parts: key, tag of the upstream (for canaries), and in persistent mode a tag of 16 bits of the endpoint,
-- which holds the client there when endpoints are added.

local algorithms = require "algorithms"
local cookies = require "cookies"
local request = require "request"
local store = require "store"

local format, match = string.format, string.match
local random = math.random

local _M = {}
local DRAWS = 64  -- to find a key that leads to a given endpoint

local function read(affinity)
    local value = request.get("cookie_" .. affinity.cookie)
    if value then
        return match(value, "^(%x+)%.(%x%x%x%x)%.?(%x*)$")
    end
end

local function new_key()
    return format("%08x%08x", random(0, 2 ^ 31 - 1), random(0, 2 ^ 31 - 1))
end

local function tag_of(endpoint)
    return format("%04x", endpoint.seed % 65536)
end

-- Tell whether a request is bound to a side of a canary: true and the canary, true and nil for the main backend.
function _M.bound(route)
    local main = route.upstream and store.upstream(route.upstream)
    local affinity = main and main.affinity
    if not (affinity and affinity.canary_sticky) then
        return false
    end
    local _, tag = read(affinity)
    if not tag then
        return false
    elseif tag == main.tag then
        return true
    end
    for _, canary in ipairs(route.canaries) do
        local upstream = canary.upstream and store.upstream(canary.upstream)
        if upstream and upstream.tag == tag then
            return true, canary
        end
    end
    return false
end

local function tagged(list, tag)
    for _, endpoint in ipairs(list) do
        if tag_of(endpoint) == tag then
            return endpoint
        end
    end
end

-- Draw a key for a new session; with `wanted` one that leads to that endpoint.
local function draw(list, wanted)
    local key = new_key()
    for _ = 1, DRAWS do
        if not wanted or algorithms.by_key(list, key) == wanted then
            break
        end
        key = new_key()
    end
    return key
end

local function bind(upstream, endpoint, key, ctx)
    local affinity = upstream.affinity
    local value = key .. "." .. upstream.tag .. (affinity.persistent and "." .. tag_of(endpoint) or "")
    cookies.set(affinity, value, ctx)
end

-- Choose among the candidates; a session that can't go where it is bound goes elsewhere, and stays bound unless the
-- cookie changes on failure.
function _M.pick(upstream, list, ctx)
    local affinity = upstream.affinity
    local key, upstream_tag, endpoint_tag = read(affinity)
    if not key or upstream_tag ~= upstream.tag then
        key = draw(list)
        local chosen = algorithms.by_key(list, key)
        bind(upstream, chosen, key, ctx)
        return chosen
    end
    local bound = tagged(upstream.list, endpoint_tag) or algorithms.by_key(upstream.list, key)
    local chosen = tagged(list, endpoint_tag) or algorithms.by_key(list, key)
    if chosen ~= bound and affinity.change_on_failure then
        bind(upstream, chosen, draw(upstream.list, chosen), ctx)
    elseif affinity.persistent and tag_of(bound) ~= endpoint_tag then
        bind(upstream, chosen, key, ctx)
    end
    return chosen
end

return _M
