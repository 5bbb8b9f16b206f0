-- Counts requests by route, method and status: in tables of the worker, which go to a shared dict each second.
--
-- A series is an array of numbers, in the dict as their bytes, so that one look-up moves all of it. Workers take turns by
-- a lock, since nothing else adds up several numbers at once.

local cjson = require "cjson.safe"
local ffi = require "ffi"

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

local METHODS = { GET = 1, HEAD = 1, POST = 1, PUT = 1, PATCH = 1, DELETE = 1, OPTIONS = 1, CONNECT = 1, TRACE = 1 }
local array = ffi.typeof("double[?]")
local pointer = ffi.typeof("const double *")
local series, dirty, dirty_count = {}, {}, 0

local function observe(cells, which, bounds, value)
    local at = START[which]
    cells[at] = cells[at] + value
    local i = 1
    while i <= #bounds and value > bounds[i] do
        i = i + 1
    end
    cells[at + i] = cells[at + i] + 1
end

-- The last attempt's time, where nginx names several.
local function seconds(text)
    return text and (tonumber(text) or tonumber(match(text, "[%d.]+$")))
end

local function find(ctx, method, status)
    local route, canary = ctx.route, ctx.canary or ""
    local known = route.series
    if not known then
        known = {}
        route.series = known
    end
    local name = canary .. method .. status
    local found = known[name]
    if not found then
        local l = route.labels
        local key = cjson.encode({ l[1], l[2], l[3], canary, ctx.host.host, route.path, method, tostring(status) })
        found = series[key]
        if not found then
            found = { key = key, cells = array(CELLS) }
            series[key] = found
        end
        known[name] = found
    end
    return found
end

-- In the log phase: count a request.
function _M.count(ctx)
    local var = ngx.var
    local method = var.request_method
    local item = find(ctx, METHODS[method] and method or "OTHER", ngx.status)
    if not item.dirty then
        item.dirty = true
        dirty_count = dirty_count + 1
        dirty[dirty_count] = item
    end
    local cells, time = item.cells, _M.TIME
    cells[0] = cells[0] + 1
    observe(cells, REQUEST, time, ngx.now() - ngx.req.start_time())
    observe(cells, RECEIVED, _M.LENGTH, tonumber(var.request_length) or 0)
    observe(cells, SENT, _M.LENGTH, tonumber(var.bytes_sent) or 0)
    if ctx.endpoint then
        local response, header = seconds(var.upstream_response_time), seconds(var.upstream_header_time)
        local connect = seconds(var.upstream_connect_time)
        if response then observe(cells, RESPONSE, time, response) end
        if header then observe(cells, HEADER, time, header) end
        if connect then observe(cells, CONNECT, time, connect) end
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
    assert(ngx.timer.every(EVERY, flush))
end

-- When a worker ends: what it counted since the last second.
function _M.finish()
    flush(true)
end

return _M
