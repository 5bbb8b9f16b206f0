-- Hashes: nginx's own for texts, and a quick one that mixes two numbers.

local ffi = require "ffi"
local bit = require "bit"

local bnot, bxor, lshift, rshift, tobit = bit.bnot, bit.bxor, bit.lshift, bit.rshift, bit.tobit

ffi.cdef "uint32_t ngx_murmur_hash2(unsigned char *data, size_t len);"
local murmur = ffi.C.ngx_murmur_hash2
local text = ffi.typeof "const unsigned char *"
local cast = ffi.cast
local bytes = ffi.typeof "unsigned char *"

local _M = {}
local SCALE = 2 ^ 32

-- nginx's murmur hash of a text, 0 to 2^32 - 1: what `split_clients` uses.
function _M.of(key)
    local number = tonumber(murmur(cast(bytes, cast(text, key)), #key))
    return number
end

-- Mix two 32-bit numbers into one between 0 and 1 (both excluded), with shifts and sums only: this runs once for each
-- endpoint of an upstream.
function _M.mix(a, b)
    local h = bxor(a, b)
    h = tobit(bnot(h) + lshift(h, 15))
    h = bxor(h, rshift(h, 12))
    h = tobit(h + lshift(h, 2))
    h = bxor(h, rshift(h, 4))
    h = tobit(h + tobit(lshift(h, 3) + lshift(h, 11)))
    h = bxor(h, rshift(h, 16))
    return (h % SCALE + 0.5) / SCALE
end

return _M
