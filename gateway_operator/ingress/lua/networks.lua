-- Tells whether an address is in one of many networks, with one table look-up for each length of prefix among them.

local bit = require "bit"

local byte, char, find, gmatch = string.byte, string.char, string.find, string.gmatch
local rep, sub = string.rep, string.sub
local band, lshift, rshift = bit.band, bit.lshift, bit.rshift

local _M = {}
local MAPPED = rep("\0", 10) .. "\255\255"  -- IPv4 inside IPv6

local function parse_v4(text)
    local bytes = {}
    for part in gmatch(text, "[^.]+") do
        bytes[#bytes + 1] = char(tonumber(part))
    end
    return table.concat(bytes)
end

local function groups(text)
    local found = {}
    for part in gmatch(text, "[^:]+") do
        if find(part, ".", 1, true) then
            found[#found + 1] = parse_v4(part)
        else
            local number = tonumber(part, 16)
            found[#found + 1] = char(rshift(number, 8), band(number, 255))
        end
    end
    return table.concat(found)
end

local function parse_v6(text)
    local left, right = text:match("^(.-)::(.*)$")
    if not left then
        return groups(text)
    end
    local head, tail = groups(left), groups(right)
    return head .. rep("\0", 16 - #head - #tail) .. tail
end

-- Keep the first bits of an address and clear the rest.
local function masked(address, bits)
    local whole, part = rshift(bits, 3), band(bits, 7)
    local kept = sub(address, 1, whole)
    if part > 0 then
        local mask = band(lshift(255, 8 - part), 255)
        kept = kept .. char(band(byte(address, whole + 1), mask))
    end
    return kept
end

-- The plain form of an address in binary: IPv4 also when a socket of IPv6 took it.
local function plain(address)
    return #address == 16 and sub(address, 1, 12) == MAPPED and sub(address, 13) or address
end

-- Prepare a list of networks (checked texts: `address` or `address/bits`) for `contains`.
function _M.compile(list)
    local sets = { [4] = {}, [16] = {} }
    for _, text in ipairs(list) do
        local host, bits = text:match("^([^/]+)/?(%d*)$")
        local address = find(host, ":", 1, true) and parse_v6(host) or parse_v4(host)
        bits = tonumber(bits) or #address * 8
        local set = sets[#address]
        set[bits] = set[bits] or {}
        set[bits][masked(address, bits)] = true
    end
    return sets
end

-- Tell whether an address (`$binary_remote_addr`) is in one of the networks.
function _M.contains(sets, address)
    address = plain(address)
    for bits, set in pairs(sets[#address] or {}) do
        if set[masked(address, bits)] then
            return true
        end
    end
    return false
end

return _M
