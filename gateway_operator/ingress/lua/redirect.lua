-- Answers instead of a backend: to TLS, or to where an annotation points.

local config = require "config"
local request = require "request"

local byte = string.byte
local get = request.get
local SLASH = 47

local _M = {}

-- Set the Location header and return the status to end with.
function _M.to(url, code)
    request.answer("Location", url)
    return code
end

-- Send a client that came without TLS, to us or to who stands in front of us, to the same URL with it.
function _M.to_tls(over_tls)
    if config.forwarded then
        over_tls = get("pass_access_scheme") ~= "http"
    end
    if not over_tls then
        return _M.to("https://" .. get("host") .. get("request_uri"), config.redirect_code)
    end
end

-- Make a URL whole: `//host` takes the request's scheme, a path its host too.
local function absolute(url)
    if byte(url) ~= SLASH then
        return url
    end
    if byte(url, 2) == SLASH then
        return get("pass_access_scheme") .. ":" .. url
    end
    return get("pass_access_scheme") .. "://" .. get("best_http_host") .. url
end

function _M.compile(route)
    local wanted = route.redirect
    if not wanted then
        return nil
    end
    return function()
        local target = absolute(wanted.url)
        return _M.to(wanted.append and target .. get("request_uri") or target, wanted.code)
    end
end

return _M
