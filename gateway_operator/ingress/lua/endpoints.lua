-- An upstream as workers keep it: its endpoints with what this worker knows of each (load, speed, failures), which
-- outlives changes of the list.

local hash = require "hash"
local request = require "request"
local template = require "template"

local abs = math.abs
local dict = ngx.shared.gateway
local read_verdicts = request.reader(dict, "#hv")

local _M = {}
local LOOK_EVERY = 0.1  -- s: health checks are seconds apart
local verdicts, looked_at = 0, 0  -- the number of the newest verdict of a health check; when it was read
local LEAST_SHARE = 0.02  -- of an endpoint's weight at the beginning of its slow start

local function mean_speed(by_name)
    local sum, count = 0, 0
    for _, known in pairs(by_name or {}) do
        sum, count = sum + known.ewma, count + 1
    end
    return count > 0 and sum / count or 0
end

local function fresh(item, former, now)
    return {
        name = item.a .. ":" .. item.p,
        address = item.a,
        port = item.p,
        seed = hash.of(item.a .. ":" .. item.p),
        current = 0,  -- smooth weighted round robin
        active = 0,  -- requests of this worker
        ewma = mean_speed(former and former.by_name),  -- s; a new one starts as fast as its neighbours
        seen = now,
        failures = 0,
        failed_since = 0,
        rests_until = 0,
        weight = 1,
        since = former and now or 0,  -- slow start is for those that come later
        healthy = true,
    }
end

-- Make an upstream of its entry; `former` is the one that this worker had.
function _M.build(entry, former, id)
    local now = ngx.now()
    local upstream = {  -- all fields, see hosts.build
        version = false, raw = false, id = id, algorithm = entry.algorithm or "round_robin",
        by_name = {}, list = {}, even = true, turn = former and former.turn or math.random(0, 65535),
        ramps_until = (former and entry.slow_start) and now + entry.slow_start or 0,
        impaired_until = former and former.impaired_until or 0, ailing = false, down = false, verdicts = false,
        affinity = entry.affinity or false, health = entry.health or false, tls = entry.tls or false,
        max_fails = entry.max_fails or false, fail_timeout = entry.fail_timeout or false,
        slow_start = entry.slow_start or false, tag = string.format("%04x", hash.of(id) % 65536),
        hash_key = entry.hash_by and template.compile(entry.hash_by) or false,
    }
    for _, item in ipairs(entry.endpoints) do
        local name = item.a .. ":" .. item.p
        local endpoint = former and former.by_name[name] or fresh(item, former, now)
        endpoint.weight = item.w or 1
        upstream.even = upstream.even and endpoint.weight == 1
        upstream.by_name[name] = endpoint
        upstream.list[#upstream.list + 1] = endpoint
    end
    return upstream
end

-- The weight of an endpoint now: a new one's grows over the slow start.
function _M.weight(upstream, endpoint, now)
    local ramp = upstream.slow_start
    if not ramp or now - endpoint.since >= ramp then
        return endpoint.weight
    end
    return endpoint.weight * math.max(LEAST_SHARE, (now - endpoint.since) / ramp)
end

-- Take over what the health checks (health.lua) found; they may run in another worker.
local function refresh(upstream)
    upstream.verdicts = verdicts
    local down = dict:get("#h:" .. upstream.id) or ""
    if down ~= upstream.down then
        upstream.down, upstream.ailing = down, false
        for name, endpoint in pairs(upstream.by_name) do
            endpoint.healthy = not down:find("," .. name .. ",", 1, true)
            upstream.ailing = upstream.ailing or not endpoint.healthy
        end
    end
end

local function look(now)
    looked_at = now
    verdicts = read_verdicts() or 0
end

local function filtered(upstream, tried, now)
    local found = {}
    for _, endpoint in ipairs(upstream.list) do
        if endpoint.healthy and endpoint.rests_until <= now and not (tried and tried[endpoint]) then
            found[#found + 1] = endpoint
        end
    end
    return found
end

-- The endpoints to choose from: those that are well and weren't tried; when none is, all that weren't tried, then all.
function _M.candidates(upstream, tried, now)
    if upstream.health then
        if abs(now - looked_at) >= LOOK_EVERY then  -- the clock may go back
            look(now)
        end
        if upstream.verdicts ~= verdicts then
            refresh(upstream)
        end
    end
    if not tried and not upstream.ailing and upstream.impaired_until <= now then
        return upstream.list
    end
    local found = filtered(upstream, tried, now)
    if #found > 0 then
        return found
    end
    for _, endpoint in ipairs(upstream.list) do
        if not (tried and tried[endpoint]) then
            found[#found + 1] = endpoint
        end
    end
    return #found > 0 and found or upstream.list
end

-- Count a failed attempt; after `max_fails` of them within `fail_timeout` the endpoint rests for as long.
function _M.failed(upstream, endpoint)
    local most, period = upstream.max_fails, upstream.fail_timeout
    if not most then
        return
    end
    local now = ngx.now()
    if now - endpoint.failed_since > period then
        endpoint.failures, endpoint.failed_since = 0, now
    end
    endpoint.failures = endpoint.failures + 1
    if endpoint.failures >= most then
        endpoint.failures = 0
        endpoint.rests_until = now + period
        upstream.impaired_until = math.max(upstream.impaired_until, endpoint.rests_until)
    end
end

return _M
