-- Connections to given addresses are shut, others are left alone.

local cut = require "cut"

local keys = cut.keys({ "127.0.0.1:80", "[::1]:443", "no address", "10.0.0.1" })
local count = 0
for key in pairs(keys) do
    count = count + 1
    assert(#key == 6 or #key == 18)
end
assert(count == 2)
assert(keys["\0\80\127\0\0\1"])
assert(cut.shut(keys) == 0)
