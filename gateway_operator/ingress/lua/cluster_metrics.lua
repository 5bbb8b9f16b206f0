-- Counts requests of policies' paths by the cluster that answered: in a table of the worker, which goes to the shared dict
-- of metrics each second. Apart from upstream's series, whose labels dashboards depend on.

local cjson = require "cjson.safe"
local request = require "request"

local floor = math.floor
local status = request.status
local dict = ngx.shared.gateway_metrics

local _M = {}
local EVERY = 1  -- s
local KEPT_FOR = 86400  -- s, after which a series that nobody adds to is forgotten

local counts = {}

local function key_of(ctx, class)
    local l = ctx.split.labels
    return cjson.encode({ l[1], l[2], l[3], l[4], ctx.part.c, class .. "xx" })
end

-- In the log phase: count a request that a cluster got.
function _M.count(ctx)
    local part, class = ctx.part, floor(status() / 100)
    local keys = part.keys
    if not keys then
        keys = {}
        part.keys = keys
    end
    local key = keys[class]
    if not key then
        key = key_of(ctx, class)
        keys[class] = key
    end
    counts[key] = (counts[key] or 0) + 1
end

-- Series have numbers, so that a reader can go through them without a list of all keys.
local function flush()
    local found = counts
    counts = {}
    for key, count in pairs(found) do
        local _, err = dict:incr("c" .. key, count)
        if err == "not found" and dict:safe_add("c" .. key, count) then
            dict:safe_set("#c" .. dict:incr("#c", 1, 0), key, KEPT_FOR * 2)
        elseif err == "not found" then
            dict:incr("c" .. key, count)  -- another worker was first
        end
        dict:expire("c" .. key, KEPT_FOR)
    end
end

-- Return a function that gives one series after the other, with its count.
function _M.each()
    local i, last = 0, dict:get("#c") or 0
    return function()
        while i < last do
            i = i + 1
            local key = dict:get("#c" .. i)
            local count = key and dict:get("c" .. key)
            if count then
                return key, count
            end
        end
    end
end

function _M.start()
    assert(ngx.timer.every(EVERY, flush))
end

-- When a worker ends: what it counted since the last second.
function _M.finish()
    flush()
end

return _M
