-- Cross-origin requests: answers preflights, and puts the headers on the backend's answers.

local request = require "request"

local concat = table.concat
local answer, get = request.answer, request.get

local _M = {}

local function quoted(text)
    return (text:gsub("[%-%.%+%[%]%(%)%$%^%%%?%*]", "%%%0"))
end

-- Return Lua patterns for an origin in which `*` stands for one label and a `:*` at the end for any port or none.
local function patterns_of(origin)
    local body = origin:lower():gsub(":%*$", "")
    local pattern = "^" .. quoted(body):gsub("%%%*", "[a-z0-9%%-]+", 1)
    if body == origin:lower() then
        return { pattern .. "$" }
    end
    return { pattern .. "$", pattern .. ":%d+$" }
end

local function matcher(origins)
    local exact, patterns = {}, {}
    for _, origin in ipairs(origins) do
        if origin == "*" then
            return function()
                return "*"
            end
        elseif origin:find("*", 1, true) then
            for _, pattern in ipairs(patterns_of(origin)) do
                patterns[#patterns + 1] = pattern
            end
        else
            exact[origin:lower()] = true
        end
    end
    return function(origin)
        local plain = origin and origin:lower()
        if not plain or exact[plain] then
            return origin
        end
        for _, pattern in ipairs(patterns) do
            if plain:find(pattern) then
                return origin
            end
        end
    end
end

function _M.compile(route)
    local wanted = route.cors
    if not wanted then
        return nil
    end
    local allowed = matcher(wanted.origins)
    local everybody = allowed("") == "*"
    local fixed = {
        ["Vary"] = not everybody and "Origin" or nil,
        ["Access-Control-Allow-Credentials"] = wanted.credentials and "true" or nil,
        ["Access-Control-Allow-Methods"] = wanted.methods and concat(wanted.methods, ", "),
        ["Access-Control-Allow-Headers"] = wanted.headers and concat(wanted.headers, ", "),
        ["Access-Control-Expose-Headers"] = wanted.expose and concat(wanted.expose, ", "),
        ["Access-Control-Max-Age"] = tostring(wanted.max_age),
    }
    return function()
        local origin = allowed(get("http_origin"))
        if origin then
            answer("Access-Control-Allow-Origin", origin)
        end
        for name, value in pairs(fixed) do
            answer(name, value)
        end
        if origin and get("request_method") == "OPTIONS" then
            return 204
        end
    end
end

return _M
