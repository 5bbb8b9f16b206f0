-- Sends a share of a route's requests to another backend: by a header, then by a cookie, then by weight.

local request = require "request"
local sticky = require "sticky"

local get = request.get
local random = math.random
local re_find = ngx.re.find

local _M = {}

-- What a header or cookie says of a canary: true, false, or nil when it leaves the choice to others.
local function word(value)
    if value == "always" then
        return true
    elseif value == "never" then
        return false
    end
end

local function by_header(canary)
    local value = get(canary.header_variable)
    if not value then
        return nil
    elseif canary.value then
        return value == canary.value or nil
    elseif canary.pattern then
        return re_find(value, canary.pattern, "jo") ~= nil or nil
    end
    return word(value)
end

local function by_cookie(canary)
    return word(get(canary.cookie_variable))
end

-- Ask each canary that has such a rule; what was refused by name takes no part in the weights.
local function ask(canaries, variable, judge, refused)
    for _, canary in ipairs(canaries) do
        if canary[variable] and not refused[canary] then
            local verdict = judge(canary)
            if verdict then
                return canary
            end
            refused[canary] = verdict == false
        end
    end
end

local function by_weight(canaries, refused)
    local drawn, below = nil, 0
    for _, canary in ipairs(canaries) do
        if canary.weight and not refused[canary] then
            drawn = drawn or random()
            below = below + canary.weight / canary.total
            if drawn < below then
                return canary
            end
        end
    end
end

local function choose(route)
    local canaries, refused = route.canaries, {}
    local chosen = ask(canaries, "header_variable", by_header, refused)
        or ask(canaries, "cookie_variable", by_cookie, refused)
    if chosen then
        return chosen
    end
    local bound, canary = sticky.bound(route)
    if bound then
        return not refused[canary] and canary or nil
    end
    return by_weight(canaries, refused)
end

function _M.compile(route)
    local canaries = route.canaries
    if not canaries then
        return nil
    end
    for _, canary in ipairs(canaries) do
        canary.name = canary.name or ""
        canary.header_variable = canary.header and "http_" .. canary.header:lower():gsub("-", "_")
        canary.cookie_variable = canary.cookie and "cookie_" .. canary.cookie
    end
    return function(ctx)
        local canary = choose(route)
        if canary then
            ctx.upstream, ctx.canary = canary.upstream, canary.name
            request.set("proxy_alternative_upstream_name", canary.name)
        end
    end
end

return _M
