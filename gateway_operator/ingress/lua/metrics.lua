-- Counts requests by route, method and status: in tables of the worker, which go to a shared dict each second.
--
-- A series is an array of numbers, in the dict as their bytes, so that one look-up moves all of it. Workers take turns by
-- a lock, since nothing else adds up several numbers at once.

local cjson = require "cjson.safe"
local clusters = require "cluster_metrics"
local ffi = require "ffi"
local request = require "request"

local floor, max, min = math.floor, math.max, math.min
local get, start_time, status = request.get, request.start_time, request.status
local get_method, now = ngx.req.get_method, ngx.now
local match = string.match
local dict = ngx.shared.gateway_metrics

local _M = {}
local EVERY = 1  -- s
local BATCH = 200  -- series under one lock
local LOCKED_FOR = 1  -- s, should its holder die
local KEPT_FOR = 86400  -- s, after which a series that nobody adds to is forgotten

-- Upstream's bounds, so that dashboards and alerts go on.
_M.TIME = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }
_M.LENGTH = { 10, 20, 30, 40, 50, 60, 70, 80, 90, 100 }

-- A series: number of requests, then for each histogram its sum and its buckets (the last one is for what is above).
_M.HISTOGRAMS = {
    { "request_duration_seconds", _M.TIME },
    { "response_duration_seconds", _M.TIME },
    { "header_duration_seconds", _M.TIME },
    { "connect_duration_seconds", _M.TIME },
    { "request_size", _M.LENGTH },
    { "response_size", _M.LENGTH },
}
local REQUEST, RESPONSE, HEADER, CONNECT, RECEIVED, SENT = 1, 2, 3, 4, 5, 6
local START, CELLS = {}, 1
for i, histogram in ipairs(_M.HISTOGRAMS) do
    START[i] = CELLS
    CELLS = CELLS + #histogram[2] + 2
end
_M.START, _M.CELLS = START, CELLS

local METHODS = { GET = 1, HEAD = 2, POST = 3, PUT = 4, PATCH = 5, DELETE = 6, OPTIONS = 7, CONNECT = 8, TRACE = 9 }
local OTHER, SPAN = 0, 16
local array = ffi.typeof("double[?]")
local pointer = ffi.typeof("const double *")
local series, dirty, dirty_count = {}, {}, 0

-- For each whole number up to the last bound, the bucket that it belongs to. A look into a table has no loop in it, so
-- LuaJIT compiles the log phase as a whole.
local function buckets(bounds, scale)
    local last = bounds[#bounds] * scale
    local found, bucket = ffi.new("uint8_t[?]", last + 2), 1
    for value = 0, last + 1 do
        while bucket <= #bounds and value > bounds[bucket] * scale + 0.5 do
            bucket = bucket + 1
        end
        found[value] = bucket
    end
    return found, last + 1
end
local OF_TIME, LAST_TIME = buckets(_M.TIME, 1000)
local OF_LENGTH, LAST_LENGTH = buckets(_M.LENGTH, 1)

-- The bucket of a time, counted from 1: nginx knows milliseconds, and the clock may go back.
function _M.time_bucket(seconds)
    local bucket = OF_TIME[max(0, min(floor(seconds * 1000 + 0.5), LAST_TIME))]
    return bucket
end

function _M.length_bucket(length)
    local bucket = OF_LENGTH[min(length, LAST_LENGTH)]
    return bucket
end

local time_bucket, length_bucket = _M.time_bucket, _M.length_bucket

local function observe_time(cells, which, seconds)
    local at = START[which]
    cells[at] = cells[at] + seconds
    at = at + time_bucket(seconds)
    cells[at] = cells[at] + 1
end

local function observe_length(cells, which, length)
    local at = START[which]
    cells[at] = cells[at] + length
    at = at + length_bucket(length)
    cells[at] = cells[at] + 1
end

-- The last attempt's time, where nginx names several.
local function seconds(text)
    return text and (tonumber(text) or tonumber(match(text, "[%d.]+$")))
end

-- The series of a route are found by numbers: no text is made for a request.
local function known_series(route, canary)
    local known
    if canary then
        route.by_canary = route.by_canary or {}
        known = route.by_canary[canary] or {}
        route.by_canary[canary] = known
    else
        known = route.series or {}
        route.series = known
    end
    return known
end

local function make(ctx, method, status)
    local route, l = ctx.route, ctx.route.labels
    local name = METHODS[method] and method or "OTHER"
    local key = cjson.encode({ l[1], l[2], l[3], ctx.canary or "", ctx.host.host, route.path, name, tostring(status) })
    local found = series[key]
    if not found then
        found = { key = key, cells = array(CELLS), dirty = false }
        series[key] = found
    end
    return found
end

local function find(ctx)
    local method, code = get_method(), status()
    local known = ctx.route.series
    if ctx.canary or not known then
        known = known_series(ctx.route, ctx.canary)
    end
    local number = code * SPAN + (METHODS[method] or OTHER)
    local found = known[number]
    if not found then
        found = make(ctx, method, code)
        known[number] = found
    end
    return found
end

-- In the log phase: count a request.
function _M.count(ctx)
    local item = find(ctx)
    if not item.dirty then
        item.dirty = true
        dirty_count = dirty_count + 1
        dirty[dirty_count] = item
    end
    local cells = item.cells
    cells[0] = cells[0] + 1
    observe_time(cells, REQUEST, now() - start_time())
    observe_length(cells, RECEIVED, tonumber(get("request_length")) or 0)
    observe_length(cells, SENT, tonumber(get("bytes_sent")) or 0)
    if ctx.part then
        clusters.count(ctx)
    end
    if ctx.endpoint then
        local response, header = seconds(get("upstream_response_time")), seconds(get("upstream_header_time"))
        local connect = seconds(get("upstream_connect_time"))
        if response then observe_time(cells, RESPONSE, response) end
        if header then observe_time(cells, HEADER, header) end
        if connect then observe_time(cells, CONNECT, connect) end
    end
end

-- Series have numbers, so that a reader can go through them without a list of all keys.
local function store(item)
    local raw = dict:get(item.key)
    local cells = item.cells
    if raw then
        local before = ffi.cast(pointer, raw)
        for i = 0, CELLS - 1 do
            cells[i] = cells[i] + before[i]
        end
    else
        local number = dict:incr("#", 1, 0)
        dict:safe_set("#" .. number, item.key, KEPT_FOR * 2)
    end
    dict:safe_set(item.key, ffi.string(cells, CELLS * 8), KEPT_FOR)
    ffi.fill(cells, CELLS * 8)
    item.dirty = false
end

local function lock()
    while not dict:add("lock", 1, LOCKED_FOR) do
        ngx.sleep(0.001)
    end
end

local function flush(premature)
    local list, count = dirty, dirty_count
    dirty, dirty_count = {}, 0
    for first = 1, count, BATCH do
        if not premature then
            lock()
        end
        for i = first, math.min(first + BATCH - 1, count) do
            store(list[i])
        end
        if not premature then
            dict:delete("lock")
            ngx.sleep(0.001)
        end
    end
    _M.tidy()
end

-- Forget what is over: host entries change, and their routes' series with them.
local age = 0
function _M.tidy()
    age = age + 1
    if age % 3600 == 0 then
        series = {}
    end
end

function _M.start()
    clusters.start()
    assert(ngx.timer.every(EVERY, flush))
end

-- When a worker ends: what it counted since the last second.
function _M.finish()
    clusters.finish()
    flush(true)
end

return _M
