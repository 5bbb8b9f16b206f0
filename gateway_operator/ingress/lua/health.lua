-- Asks endpoints whether they are well, in one worker; the others read what it found from the shared dict.
--
-- Thousands of checks are due every few seconds, so one has to cost little: its connection is kept for the next, texts are
-- made once, and nothing is published while nothing changes.
--
-- `hc` lists the upstreams with health checks. `#h:<upstream>` holds the endpoints that are down, as `,address:port,`;
-- `#hv` is the number of changes of these.

local cjson = require "cjson.safe"
local store = require "store"

local find, lower, match = string.find, string.lower, string.match
local tcp = ngx.socket.tcp
local dict = ngx.shared.gateway

local _M = {}
local TICK = 0.5
local AT_ONCE = 64
local IDLE = 60  -- s that a connection may wait beyond the next check
local MOST = 4096  -- bytes of an answer that are read
local HURRY = 1.25  -- times the usual pace, at most: what falls due all at once spreads out, and stays spread out

local states = {}  -- upstream → { due, upstream, changed, by endpoint's name: { row, down, pool, request } }
local running = false
local raw, list = nil, {}
local pace, last = 0, 0  -- checks of an upstream a second; when the last round began

-- Tell whether all of an answer is here and its connection can take another request.
local function whole(text)
    local _, stop = find(text, "\r\n\r\n", 1, true)
    local head = stop and lower(text)
    local length = head and tonumber(match(head, "^http/1%.1.-\r\ncontent%-length: *(%d+)\r"))
    return length and #text == stop + length and not find(head, "\r\nconnection: *close")
end

-- Return whether the answer is a good one, and the answer.
local function read(socket)
    local text = ""
    repeat
        local more = socket:receiveany(MOST)
        if not more then
            return false
        end
        text = text .. more
    until #text >= MOST or find(text, "\r\n\r\n", 1, true)
    local status = tonumber(match(text, "^HTTP/%d%.?%d? (%d%d%d)"))
    return status and status >= 200 and status < 400, text
end

-- Connect and ask once. The second value says that a connection which an earlier check left open gave no answer.
local function ask(upstream, endpoint, known)
    local check, socket = upstream.health, tcp()
    socket:settimeout(check.timeout * 1000)
    local ok = socket:connect(endpoint.address, endpoint.port, known.pool)
    local used = ok and socket:getreusedtimes() > 0
    if ok and upstream.tls then
        ok = socket:sslhandshake(nil, check.host, false)
    end
    local text
    if ok and check.path then
        ok = socket:send(known.request)
        if ok then
            ok, text = read(socket)
        end
    end
    if text and whole(text) then
        socket:setkeepalive((check.interval + IDLE) * 1000, 1)
    else
        socket:close()
    end
    return ok and true or false, used and not text
end

-- A connection is kept from check to check, which costs a fraction of a new one; what fails on a kept one is asked anew,
-- since its end may just have been due.
local function answers(upstream, endpoint, known)
    local well, again = ask(upstream, endpoint, known)
    if again then
        well = ask(upstream, endpoint, known)
    end
    return well
end

-- Count rows of equal answers; enough of them turn an endpoint over.
local function judge(check, state, known, well)
    if well ~= known.down then
        known.row = 0
        return
    end
    known.row = known.row + 1
    if known.row >= (well and check.passes or check.fails) then
        known.down, known.row, state.changed = not well, 0, true
    end
end

local function publish(upstream, state)
    local down = {}
    for name, found in pairs(state.endpoints) do
        if found.down then
            down[#down + 1] = name
        end
    end
    table.sort(down)
    local text = #down > 0 and "," .. table.concat(down, ",") .. "," or ""
    state.changed = false
    if (dict:get("#h:" .. upstream.id) or "") ~= text then
        ngx.log(ngx.WARN, "endpoints called down: ", text == "" and "none" or text)
        state.changed = not dict:safe_set("#h:" .. upstream.id, text)
        dict:incr("#hv", 1, 0)
    end
end

local function fresh(upstream, endpoint, down)
    local check, name = upstream.health, endpoint.name
    local host = check.host or name
    return {
        row = 0, down = down,
        pool = { pool = "health:" .. (upstream.tls and "tls:" or "") .. upstream.id .. ":" .. name },
        request = check.path and "GET " .. check.path .. " HTTP/1.1\r\nHost: " .. host .. "\r\n\r\n",
    }
end

-- A new worker goes on with what the one before it found.
local function state_of(upstream)
    local state = states[upstream.id]
    if state and state.upstream == upstream then
        return state
    end
    local known = dict:get("#h:" .. upstream.id) or ""
    local found, before = {}, state and state.endpoints or {}
    for _, endpoint in ipairs(upstream.list) do
        local name = endpoint.name
        local former = before[name]
        found[name] = fresh(upstream, endpoint, known:find("," .. name .. ",", 1, true) ~= nil)
        if former then
            found[name].row, found[name].down = former.row, former.down
        end
    end
    state = { due = 0, interval = 0, upstream = upstream, endpoints = found, changed = true }
    states[upstream.id] = state
    return state
end

local function check_one(upstream, state, endpoint)
    local known = state.endpoints[endpoint.name]
    judge(upstream.health, state, known, answers(upstream, endpoint, known))
end

-- This coroutine checks one of each batch itself.
local function check_all(upstream, state)
    local threads, count = {}, #upstream.list
    for i, endpoint in ipairs(upstream.list) do
        if i < count and #threads < AT_ONCE - 1 then
            threads[#threads + 1] = ngx.thread.spawn(check_one, upstream, state, endpoint)
        else
            check_one(upstream, state, endpoint)
            for _, thread in ipairs(threads) do
                ngx.thread.wait(thread)
            end
            threads = {}
        end
    end
    if state.changed then
        publish(upstream, state)
    end
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

-- A clock that went back makes a check due that seems to be far away.
local function is_due(known, now)
    return known.due <= now or known.due > now + known.interval
end

-- Those whose turn it is, within what a round may begin; a state without a check is looked at again next time.
local function due_ones(now)
    local found, most = {}, math.max(AT_ONCE, HURRY * pace * math.min(now - last, 1))
    pace, last = 0, now
    for _, id in ipairs(list) do
        local known = states[id]
        local upstream = (not known or is_due(known, now)) and #found < most and store.upstream(id)
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
