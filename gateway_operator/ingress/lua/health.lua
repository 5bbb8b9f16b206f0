-- Asks endpoints whether they are well, in one worker; the others read what it found from the shared dict.
--
-- `hc` lists the upstreams with health checks. `#h:<upstream>` holds the endpoints that are down, as `,address:port,`.

local cjson = require "cjson.safe"
local store = require "store"

local dict = ngx.shared.gateway

local _M = {}
local TICK = 0.5
local AT_ONCE = 64

local states = {}  -- upstream → { due, by endpoint's name: { row, down } }
local running = false

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

local function forget(wanted)
    for id in pairs(states) do
        if not wanted[id] then
            states[id] = nil
            dict:delete("#h:" .. id)
        end
    end
end

local function round()
    store.sync()
    local wanted, threads = {}, {}
    for _, id in ipairs(cjson.decode(dict:get("hc") or "[]") or {}) do
        wanted[id] = true
        local upstream = store.upstream(id)
        if upstream and upstream.health then
            local state = state_of(upstream)
            if state.due <= ngx.now() then
                state.due = ngx.now() + upstream.health.interval
                threads[#threads + 1] = ngx.thread.spawn(check_all, upstream, state)
            end
        end
    end
    for _, thread in ipairs(threads) do
        ngx.thread.wait(thread)
    end
    forget(wanted)
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
