-- Networks: IPv4, IPv6, and IPv4 that came in over IPv6.

local networks = require "networks"

local function v4(a, b, c, d)
    return string.char(a, b, c, d)
end

local function v6(text)
    return (text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local some = networks.compile({ "10.0.0.0/8", "192.168.4.0/22", "1.2.3.4", "2001:db8::/33", "::1/128" })
assert(networks.contains(some, v4(10, 255, 0, 1)) and not networks.contains(some, v4(11, 0, 0, 0)))
assert(networks.contains(some, v4(192, 168, 7, 255)) and not networks.contains(some, v4(192, 168, 8, 0)))
assert(networks.contains(some, v4(1, 2, 3, 4)) and not networks.contains(some, v4(1, 2, 3, 5)))
assert(networks.contains(some, ("\0"):rep(10) .. "\255\255" .. v4(10, 1, 1, 1)))
assert(networks.contains(some, v6("20010db8000000000000000000000001")))
assert(not networks.contains(some, v6("20010db8800000000000000000000001")))
assert(networks.contains(some, v6("00000000000000000000000000000001")))

local all = networks.compile({ "0.0.0.0/0", "::/0" })
assert(networks.contains(all, v4(8, 8, 8, 8)) and networks.contains(all, ("\1"):rep(16)))
assert(not networks.contains(networks.compile({}), v4(8, 8, 8, 8)))
assert(networks.contains(networks.compile({ "::ffff:0:0/96" }), v4(8, 8, 8, 8)) == false)
