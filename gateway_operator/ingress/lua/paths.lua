-- Finds the route of a path, with the rules of Ingress: whole segments, the longest prefix wins, an exact path wins over
-- all. Regular expressions match from the start of the path whatever its case, in the order of the entry, after the
-- exact paths and before the prefixes.

local byte, find, sub = string.byte, string.find, string.sub
local re_find = ngx and ngx.re.find

local _M = {}
local SLASH = 47
local MOST = 8

local function by_regex(list, uri)
    for i = 1, #list do
        if re_find(uri, list[i].pattern, "ijo") then
            return list[i]
        end
    end
end

-- No prefix is longer than `longest`, so a path of thousands of segments costs no more than that many steps.
local function by_segment(entry, uri)
    local prefix, longest = entry.prefix, entry.longest
    local last = #uri <= longest and #uri or longest + 1
    for i = last, 1, -1 do
        if byte(uri, i) == SLASH then
            local route = prefix[sub(uri, 1, i - 1)]
            if route then
                return route
            end
        end
    end
end

-- One look for a prefix of this length, then what is behind it: a chain of functions, since a loop would keep LuaJIT from
-- compiling a request's whole way.
local function look(prefix, length, shorter)
    return function(uri)
        if byte(uri, length + 1) == SLASH then
            local route = prefix[sub(uri, 1, length)]
            if route then
                return route
            end
        end
        return shorter(uri)
    end
end

local function nothing()
    return nil
end

-- Few different lengths are a chain, many a loop over the path's segments.
local function finder(entry, prefix)
    local known, lengths = {}, {}
    for path in pairs(prefix) do
        if not known[#path] then
            known[#path] = true
            lengths[#lengths + 1] = #path
        end
    end
    if #lengths > MOST then
        return function(uri)
            return by_segment(entry, uri)
        end
    end
    table.sort(lengths)
    local found = nothing
    for _, length in ipairs(lengths) do
        found = look(prefix, length, found)
    end
    return found
end

-- Make what `match` uses: `exact` and `prefix` by path (prefixes without the slash at the end), `regex`, `find`.
function _M.index(entry)
    local exact, prefix, regex, longest = {}, {}, {}, 0
    for _, route in ipairs(entry.routes) do
        if route.regex then
            regex[#regex + 1] = route
            route.pattern = "^" .. route.path
        elseif route.exact then
            exact[route.path] = route
        else
            local bare = find(route.path, "/$") and sub(route.path, 1, -2) or route.path
            prefix[bare] = route
            longest = math.max(longest, #bare)
        end
    end
    entry.exact, entry.prefix, entry.longest = exact, prefix, longest
    entry.regex = #regex > 0 and regex
    entry.find = finder(entry, prefix)
end

-- Return the route of a decoded, normalised path; nil when there is none.
function _M.match(entry, uri)
    local route = entry.exact[uri]
    if route then
        return route
    end
    local regex = entry.regex
    return regex and by_regex(regex, uri) or entry.prefix[uri] or entry.find(uri)
end

return _M
