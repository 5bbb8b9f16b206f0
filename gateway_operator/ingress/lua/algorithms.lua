-- How one of several endpoints is chosen. Each function gets the upstream, the candidates (at least two), the request's
-- context and the time, and returns an endpoint; `ending` is what the log phase tells of a finished attempt.

local endpoints = require "endpoints"
local hash = require "hash"
local request = require "request"

local exp, log, max = math.exp, math.log, math.max
local random = math.random
local weight_of = endpoints.weight

local _M = {}
local DECAY = 10  -- s, in which an old measurement loses most of its meaning

-- In turn; with unequal weights smoothly, as nginx does. Each worker starts somewhere else.
function _M.round_robin(upstream, list, _, now)
    if upstream.even and upstream.ramps_until <= now then
        upstream.turn = upstream.turn + 1
        return list[upstream.turn % #list + 1]
    end
    local total, best = 0, nil
    for i = 1, #list do
        local endpoint = list[i]
        local weight = weight_of(upstream, endpoint, now)
        endpoint.current = endpoint.current + weight
        total = total + weight
        if not best or endpoint.current > best.current then
            best = endpoint
        end
    end
    best.current = best.current - total
    return best
end

-- The better of two random endpoints: as good as asking all, without all workers finding the same one.
local function better_of_two(list, cost)
    local count = #list
    local i = random(count)
    local j = random(count - 1)
    if j >= i then
        j = j + 1
    end
    return cost(list[i]) <= cost(list[j]) and list[i] or list[j]
end

function _M.least_conn(upstream, list, _, now)
    return better_of_two(list, function(endpoint)
        return (endpoint.active + 1) / weight_of(upstream, endpoint, now)
    end)
end

-- Peak exponentially weighted moving average: a slow answer counts at once, and is forgotten slowly.
function _M.ewma(upstream, list, _, now)
    return better_of_two(list, function(endpoint)
        local speed = endpoint.ewma * exp(-max(0, now - endpoint.seen) / DECAY)
        return (speed + 0.001) * (endpoint.active + 1) / weight_of(upstream, endpoint, now)
    end)
end

-- Rendezvous hashing: when endpoints come or go, only their own keys move.
function _M.by_key(list, key)
    local number, best, highest = hash.of(key), nil, nil
    for i = 1, #list do
        local endpoint = list[i]
        local score = -endpoint.weight / log(hash.mix(number, endpoint.seed))
        if not highest or score > highest then
            best, highest = endpoint, score
        end
    end
    return best
end

function _M.hash(upstream, list, ctx)
    return _M.by_key(list, upstream.hash_key and upstream.hash_key(ctx) or request.get("remote_addr"))
end

-- Note how long an attempt took (s).
function _M.ending(endpoint, seconds)
    local now = ngx.now()
    local kept = exp(-max(0, now - endpoint.seen) / DECAY)
    endpoint.seen = now
    endpoint.ewma = seconds > endpoint.ewma and seconds or endpoint.ewma * kept + seconds * (1 - kept)
end

return _M
