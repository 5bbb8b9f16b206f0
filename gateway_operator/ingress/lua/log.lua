-- The log phase: gives back what a request held (its endpoint, its place among the connections) and counts it.

local algorithms = require "algorithms"
local config = require "config"
local endpoints = require "endpoints"
local limits = require "limits"
local metrics = require "metrics"
local request = require "request"
local stash = require "stash"

local get = request.get
local match = string.match

local _M = {}

-- The last of several values, as nginx joins them with commas and colons for each attempt; nil for "-".
local function last(text)
    return text and tonumber(match(text, "[%d.]+$"))
end

local function settle(ctx)
    local endpoint, upstream = ctx.endpoint, ctx.balanced
    endpoint.active = endpoint.active - 1
    if not (upstream.max_fails or upstream.algorithm == "ewma") then
        return
    end
    local seconds = last(get("upstream_response_time"))
    if seconds then
        algorithms.ending(endpoint, seconds)
    end
    local status = last(get("upstream_status"))
    if (status == 502 or status == 504) and not last(get("upstream_header_time")) then
        endpoints.failed(upstream, endpoint)
    end
end

function _M.run()
    local ctx = stash.take()
    if not ctx.route then
        return
    end
    if ctx.endpoint then
        settle(ctx)
    end
    if ctx.connection then
        limits.done(ctx)
    end
    if config.metrics then
        metrics.count(ctx)
    end
end

return _M
