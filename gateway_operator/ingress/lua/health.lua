-- Asks endpoints whether they are well, in one worker; the others read what it found from the shared dict.
--
-- `hc` lists the upstreams with health checks. `#h:<upstream>` holds the endpoints that are down, as `,address:port,`.

local cjson = require "cjson.safe"
local store = require "store"

local dict = ngx.shared.gateway

local _M = {}
local TICK = 0.5
local AT_ONCE = 64

local HURRY = 1.25  -- times the usual pace, at most: what falls due all at once spreads out, and stays spread out

local states = {}  -- upstream → { due, by endpoint's name: { row, down } }
local running = false
local raw, list = nil, {}
local pace, last = 0, 0  -- checks of an upstream a second; when the last round began

local function answers(check, endpoint, secure)
    local socket = ngx.socket.tcp()
    socket:settimeout(check.timeout * 1000)
    local ok = socket:connect(endpoint.address, endpoint.port)
    if ok and secure then
        ok = socket:sslhandshake(nil, check.host, false)
    end
    if ok and check.path then
        local host = check.host or endpoint.name
        socket:send("GET " .. check.path .. " HTTP/1.1\r\nHost: " .. host .. "\r\nConnection: close\r\n\r\n")
        local line = socket:receive("*l")
        local status = line and tonumber(line:match("^HTTP/%d%.?%d? (%d%d%d)"))
        ok = status and status >= 200 and status < 400
    end
    socket:close()
    return ok and true or false
end

-- Count rows of equal answers; enough of them turn an endpoint over.
local function judge(check, state, well)
    if well ~= state.down then
        state.row = 0
        return
    end
    state.row = state.row + 1
    if state.row >= (well and check.passes or check.fails) then
        state.down, state.row = not well, 0
    end
end

local function publish(upstream, state)
    local down = {}
    for name, found in pairs(state.endpoints) do
        if found.down and upstream.by_name[name] then
            down[#down + 1] = name
        end
    end
    table.sort(down)
    local text = #down > 0 and "," .. table.concat(down, ",") .. "," or ""
    if (dict:get("#h:" .. upstream.id) or "") ~= text then
        ngx.log(ngx.WARN, "endpoints called down: ", text == "" and "none" or text)
        dict:safe_set("#h:" .. upstream.id, text)
    end
end

-- A new worker goes on with what the one before it found.
local function state_of(upstream)
    local state = states[upstream.id]
    if not state then
        state = { due = 0, endpoints = {} }
        states[upstream.id] = state
    end
    local known = dict:get("#h:" .. upstream.id) or ""
    for name in pairs(upstream.by_name) do
        if not state.endpoints[name] then
            state.endpoints[name] = { row = 0, down = known:find("," .. name .. ",", 1, true) ~= nil }
        end
    end
    return state
end

local function check_all(upstream, state)
    local check, threads = upstream.health, {}
    for i, endpoint in ipairs(upstream.list) do
        threads[#threads + 1] = ngx.thread.spawn(function()
            judge(check, state.endpoints[endpoint.name], answers(check, endpoint, upstream.tls))
        end)
        if #threads == AT_ONCE or i == #upstream.list then
            for _, thread in ipairs(threads) do
                ngx.thread.wait(thread)
            end
            threads = {}
        end
    end
    publish(upstream, state)
end

-- Read the list of upstreams when it changed, and forget those that left it.
local function read_list()
    local found = dict:get("hc")
    if found == raw then
        return
    end
    raw, list = found, cjson.decode(found or "[]") or {}
    local wanted = {}
    for _, id in ipairs(list) do
        wanted[id] = true
    end
    for id in pairs(states) do
        if not wanted[id] then
            states[id] = nil
            dict:delete("#h:" .. id)
        end
    end
end

-- Those whose turn it is, within what a round may begin; a state without a check is looked at again next time.
local function due_ones(now)
    local found, most = {}, math.max(AT_ONCE, HURRY * pace * math.min(now - last, 1))
    pace, last = 0, now
    for _, id in ipairs(list) do
        local known = states[id]
        local upstream = (not known or known.due <= now) and #found < most and store.upstream(id)
        if upstream and upstream.health then
            local state = state_of(upstream)
            state.due, state.interval = now + upstream.health.interval, upstream.health.interval
            found[#found + 1] = { upstream, state }
            known = state
        end
        pace = pace + (known and 1 / known.interval or 0)
    end
    return found
end

local function round()
    store.sync()
    read_list()
    local threads = {}
    for i, item in ipairs(due_ones(ngx.now())) do
        threads[i] = ngx.thread.spawn(check_all, item[1], item[2])
    end
    for _, thread in ipairs(threads) do
        ngx.thread.wait(thread)
    end
end

function _M.start()
    assert(ngx.timer.every(TICK, function(premature)
        if premature or running then
            return
        end
        running = true
        local ok, err = pcall(round)
        running = false
        if not ok then
            ngx.log(ngx.ERR, "health checks failed: ", err)
        end
    end))
end

return _M
