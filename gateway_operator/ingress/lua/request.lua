-- A request's variables, context and status, on the way that every request takes.
--
-- LuaJIT can't begin a trace in a metamethod (`ngx.var`, `ngx.ctx`, `ngx.header`), nor in a function that ends with a tail
-- call of C (`ngx.req.start_time`, `get` of a shared dict). It gives up on those that are called often, and from then on
-- interprets whatever uses them, where each call of C costs a microsecond. These are plain functions over the same calls
-- of lua-resty-core, and get compiled; so whoever is called for every request keeps to them, and ends without such a tail
-- call and without a loop.

local base = require "resty.core.base"
local context = require "resty.core.ctx"
local ffi = require "ffi"
local response = require "resty.core.response"
require "resty.core.misc"
require "resty.core.request"
require "resty.core.shdict"
require "resty.core.var"

local C = ffi.C
local this = base.get_request
local text_of = ffi.string
local put_header = response.set_resp_header

local _M = {}
local OK, NUMBER = 0, 3
local LONGEST, ERROR = 256, 256  -- bytes of a variable's name and of an error's text

local names, size, failure = ffi.new("unsigned char[?]", LONGEST + ERROR), ffi.new("size_t[1]"), ffi.new("char *[1]")
local value = ffi.new("unsigned char *[1]")

local function request()
    local found = this()
    if not found then
        error("there is no request in this phase")
    end
    return found
end

-- The value of a variable; nil where it has none.
function _M.get(name)
    local length = #name
    if length > LONGEST then
        return nil
    end
    local code = C.ngx_http_lua_ffi_var_get(request(), name, length, names, 0, value, size, failure)
    if code == OK then
        local text = text_of(value[0], size[0])
        return text
    end
end

-- Write so many bytes to a variable that is declared for it (dynamic.py); nginx copies them.
local function put(name, bytes, count)
    local length = #name
    size[0] = ERROR
    local code = C.ngx_http_lua_ffi_var_set(request(), name, length, names, bytes, count, names + length, size)
    if code ~= OK then
        error(text_of(names + length, size[0]))
    end
end

_M.put = put

-- Write a text to a variable.
function _M.set(name, text)
    put(name, text, #text)
end

-- Put a header on the answer; nil takes it away.
function _M.answer(name, text)
    put_header(nil, name, text)
end

-- What `ngx.ctx` is; a context that is passed becomes it where the request has none.
_M.context = context.get_ctx_table

-- The status of the answer.
function _M.status()
    local code = C.ngx_http_lua_ffi_get_resp_status(request())
    return code
end

-- When the request began, in seconds since 1970.
function _M.start_time()
    local seconds = C.ngx_http_lua_ffi_req_start_time(request())
    return seconds
end

-- Return a function that reads a number of a shared dict with its flags (0 for none); nil where there is none.
function _M.reader(dict, key)
    local zone, length = C.ngx_http_lua_ffi_shdict_udata_to_zone(dict[1]), #key
    local kind, number, flags = ffi.new("int[1]"), ffi.new("double[1]"), ffi.new("int[1]")
    local stale, text, room = ffi.new("int[1]"), ffi.new("unsigned char *[1]"), ffi.new("unsigned char[8]")
    return function()
        text[0], size[0] = room, 8
        local code = C.ngx_http_lua_ffi_shdict_get(
            zone, key, length, kind, text, size, number, flags, 0, stale, failure
        )
        if code == OK and kind[0] == NUMBER then
            return number[0], flags[0]
        end
    end
end

return _M
