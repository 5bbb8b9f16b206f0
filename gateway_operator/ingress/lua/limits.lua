-- Rates and connections per client address, counted in a dict of their own, so that a flood of addresses costs the
-- gateway's data no memory.
--
-- A rate is a leaky bucket kept as the time at which it would be empty. `incr` moves that time in one step, so workers
-- don't lose each other's requests.

local config = require "config"
local networks = require "networks"
local request = require "request"

local max = math.max
local dict = ngx.shared.gateway_limits

local _M = {}
local DAY = 86400
local BEYOND = 16  -- requests beyond a full bucket that workers may take at once; what is above is of a clock that went back

-- Take one request of `interval` ms out of a bucket that holds `burst` more; tell whether there was room.
local function take(key, interval, burst)
    local now = ngx.now() * 1000
    local ttl = max(1, interval * (burst + 2) / 1000)
    local empty = dict:incr(key, interval, now, ttl)
    if not empty then
        return true  -- no memory for one more address: better to serve than to refuse all
    end
    if empty - interval < now or empty - now > interval * (burst + BEYOND) then
        empty = now + interval
        dict:set(key, empty, ttl)
    else
        dict:expire(key, ttl)
    end
    if empty - now > interval * (burst + 1) + 0.5 then
        dict:incr(key, -interval)
        return false
    end
    return true
end

local function connect(ctx, key, most)
    local count = dict:incr(key, 1, 0, DAY)
    if not count then
        return true
    end
    if count > most then
        dict:incr(key, -1)
        return false
    end
    ctx.connection = key
    return true
end

-- In the log phase: the request is over.
function _M.done(ctx)
    local left = dict:incr(ctx.connection, -1)
    if left and left <= 0 then
        dict:delete(ctx.connection)
    end
end

local function rates(wanted)
    local found = {}
    if wanted.rps then
        found[#found + 1] = { "s", 1000 / wanted.rps, wanted.rps * wanted.burst }
    end
    if wanted.rpm then
        found[#found + 1] = { "m", 60000 / wanted.rpm, wanted.rpm * wanted.burst }
    end
    return found
end

function _M.compile(route)
    local wanted = route.limits
    if not wanted then
        return nil
    end
    local exempt = networks.compile(wanted.exempt or {})
    local buckets = rates(wanted)
    local scope = route.labels[1] .. "/" .. route.labels[2] .. "/"

    return function(ctx)
        local address = request.get("binary_remote_addr")
        if networks.contains(exempt, address) then
            return
        end
        for _, bucket in ipairs(buckets) do
            if not take(bucket[1] .. scope .. address, bucket[2], bucket[3]) then
                return config.rate_status
            end
        end
        if wanted.connections and not connect(ctx, "c" .. scope .. address, wanted.connections) then
            return config.connection_status
        end
    end
end

return _M
