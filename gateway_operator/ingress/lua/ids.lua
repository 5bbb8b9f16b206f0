-- Request IDs as nginx makes them, 32 hexadecimal digits that nobody can foresee, but many at a time: asked for one by
-- one, each costs a request 3,200 instructions and a system call (decision 10).

local ffi = require "ffi"
local request = require "request"

ffi.cdef [[
int RAND_bytes(unsigned char *buf, int num);
unsigned char *ngx_hex_dump(unsigned char *dst, unsigned char *src, size_t len);
]]

local C, put = ffi.C, request.put

local _M = {}
local BYTES, DIGITS, MANY = 16, 32, 256

local raw, digits = ffi.new("unsigned char[?]", BYTES * MANY), ffi.new("unsigned char[?]", DIGITS * MANY)
local left = 0  -- none at the start: what is made before nginx forks would be every worker's

local function more()
    if C.RAND_bytes(raw, BYTES * MANY) == 1 then
        C.ngx_hex_dump(digits, raw, BYTES * MANY)
        left = MANY
    end
    return left
end

-- Give the request its ID; where OpenSSL has none, nginx asks it itself.
function _M.give()
    if left > 0 or more() > 0 then
        left = left - 1
        put("gw_request_id", digits + DIGITS * left, DIGITS)
    end
end

return _M
