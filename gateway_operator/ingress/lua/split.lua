-- Sends each request of a policy's path to one of several clusters: by the cookie that binds its client, else by the same
-- hash and thresholds as nginx's `split_clients`, so that both renderers send a key to the same cluster.

local config = require "config"
local cookies = require "cookies"
local hash = require "hash"
local request = require "request"
local store = require "store"

local floor = math.floor
local get, set = request.get, request.set
local murmur = hash.of

local _M = {}
local WHOLE, HIGHEST = 10000, 0xffffffff  -- hundredths of a percent; the highest hash

local VARIABLE = {
    client = function() return "remote_addr" end,
    header = function(name) return "http_" .. (name:lower():gsub("-", "_")) end,
    cookie = function(name) return "cookie_" .. name end,
}

-- Make a split of its entry: `drawn` are the parts with a share, each with the hash that is the first one too high.
function _M.build(entry)
    local drawn, by_tag, by_name, sum = {}, {}, {}, 0
    for _, part in ipairs(entry.parts or {}) do
        by_name[part.c] = part
        if part.u then
            by_tag[part.t] = part
        end
        if part.s then
            sum = sum + part.s
            part.below = floor(sum * HIGHEST / WHOLE)
            drawn[#drawn + 1] = part
        end
    end
    if #drawn > 0 then
        drawn[#drawn].below = HIGHEST + 1  -- the last one is `*`
    end
    local variable = VARIABLE[entry.key]
    entry.drawn, entry.by_tag, entry.by_name = drawn, by_tag, by_name
    entry.spare = entry.spare or {}
    entry.variable = variable and variable(entry.name or "")
    entry.bound = entry.cookie and "cookie_" .. entry.cookie
    entry.affinity = entry.cookie and { cookie = entry.cookie, max_age = entry.age }
    return entry
end

-- The part that a key is drawn to; nil where nobody takes anything.
function _M.draw(split, key)
    local number, drawn = murmur(key), split.drawn
    for i = 1, #drawn do
        if number < drawn[i].below then
            return drawn[i]
        end
    end
end

-- What decides about a request; without the header or cookie each is split by itself.
local function key_of(split)
    local value = split.variable and get(split.variable)
    return value and value ~= "" and value or get("gw_request_id")
end

local function take(ctx, part)
    ctx.part, ctx.upstream = part, part.u
    if config.cluster then
        set("gateway_cluster", part.c)
    end
end

local function bind(split, part, ctx)
    if split.bound and part.u then
        cookies.set(split.affinity, part.t, ctx)
    end
end

local function choose(split, ctx)
    local part = split.bound and split.by_tag[get(split.bound) or ""]
    if not part then
        part = _M.draw(split, key_of(split))
        if part then
            bind(split, part, ctx)
        end
    end
    return part
end

function _M.compile(route)
    local id = route.split
    if not id then
        return nil
    end
    return function(ctx)
        local split = store.split(id)
        local part = split and choose(split, ctx)
        if not (part and part.u) then
            request.answer("Retry-After", split and split.late)
            return 503
        end
        ctx.split = split
        take(ctx, part)
    end
end

-- For a request whose cluster failed it (or went): the upstream of the next one that may have it, or the same again.
function _M.elsewhere(ctx)
    local split = store.split(ctx.route.split) or ctx.split
    ctx.passed = ctx.passed or {}
    ctx.passed[ctx.part.c] = true
    for _, name in ipairs(split.spare) do
        local part = split.by_name[name]
        if part and part.u and not ctx.passed[name] then
            take(ctx, part)
            bind(split, part, ctx)
            break
        end
    end
    return ctx.upstream
end

return _M
