-- Splits: thresholds as nginx's `split_clients` has them, and who takes over.

local hash = require "hash"
local split = require "split"

local made = split.build({
    parts = {
        { c = "a", u = "1", s = 8000, t = "ta" },
        { c = "b", u = "2", s = 1999, t = "tb" },
        { c = "c", s = 1, t = "tc" },
        { c = "d", u = "4", t = "td" },
    },
})
assert(made.drawn[1].below == math.floor(8000 * 4294967295 / 10000))
assert(made.drawn[2].below == math.floor(9999 * 4294967295 / 10000))
assert(made.drawn[3].below == 2 ^ 32 and #made.drawn == 3)
assert(made.by_tag.td.u == "4" and made.by_tag.tc == nil)
for i = 1, 2000 do
    local number, part = hash.of("key" .. i), split.draw(made, "key" .. i)
    assert(part == made.drawn[number < made.drawn[1].below and 1 or number < made.drawn[2].below and 2 or 3])
end

local nobody = split.build({})
assert(split.draw(nobody, "x") == nil and #nobody.spare == 0)

assert(split.build({ key = "header", name = "X-User-Id" }).variable == "http_x_user_id")
assert(split.build({ key = "cookie", name = "us-er" }).variable == "cookie_us-er")
assert(split.build({ key = "client" }).variable == "remote_addr")
assert(split.build({}).variable == nil)
