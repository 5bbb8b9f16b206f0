-- Writes the cookie of session affinity with its attributes.

local request = require "request"

local concat = table.concat
local get = request.get

local _M = {}

-- Browsers that take `SameSite=None` for something else, so that it has to be left out for them.
local OLD_BROWSERS = {
    "iP[%a ;]+CPU [%a ]*OS 12_",
    "Mac OS X 10_14_?%d*%).*Version/.*Safari",
    "Chrom[eium]+/5[1-9]%.",
    "Chrom[eium]+/6[0-6]%.",
}

local function takes_none(agent)
    for _, pattern in ipairs(OLD_BROWSERS) do
        if agent and agent:find(pattern) then
            return false
        end
    end
    return true
end

local function same_site(affinity)
    local value = affinity.samesite
    if value == "None" and affinity.conditional_none and not takes_none(get("http_user_agent")) then
        return nil
    end
    return value
end

-- The path that the cookie holds for: the affinity's, else the route's own.
local function path_of(affinity, route)
    return affinity.path or (not route.regex and route.path) or "/"
end

-- Add Set-Cookie to the answer; a second call for the same request replaces the first one's.
function _M.set(affinity, value, ctx)
    local parts = { affinity.cookie .. "=" .. value, "Path=" .. path_of(affinity, ctx.route) }
    local function add(text)
        parts[#parts + 1] = text
    end
    if affinity.domain then
        add("Domain=" .. affinity.domain)
    end
    if affinity.expires then
        add("Expires=" .. ngx.cookie_time(ngx.time() + affinity.expires))
    end
    if affinity.max_age then
        add("Max-Age=" .. affinity.max_age)
    end
    if affinity.secure == "yes" or (not affinity.secure and get("pass_access_scheme") == "https") then
        add("Secure")
    end
    add("HttpOnly")
    local site = same_site(affinity)
    if site then
        add("SameSite=" .. site)
    end
    request.answer("Set-Cookie", concat(parts, "; "))
end

return _M
