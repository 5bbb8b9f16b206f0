-- The cache of entries: read once for each version, kept where a profile isn't known, bounded.

local cjson = require "cjson.safe"
local config = require "config"
local store = require "store"

local dict = ngx.shared.gateway
store.open(require "hosts", require "endpoints", require "certificates", require "split")
config.profiles, config.log, config.tries = { one = true }, {}, 3

local function set(host, profile)
    local route = { path = "/", profile = profile, labels = { "", "", "", "" } }
    dict:set("h:" .. host, cjson.encode({ host = host, routes = { route } }))
end

local function version(number)
    dict:set("#v", number)
    store.sync()
end

set("x.test", "one")
set("*.x.test", "one")
set("", "one")
version(1)
local first = store.host("x.test")
assert(first.host == "x.test" and store.host("x.test") == first)
assert(store.host("w.x.test").host == "*.x.test" and store.host("v.w.x.test").host == "" and store.host("_").host == "")

version(2)
assert(store.host("x.test") == first, "an entry that is the same is kept")
set("x.test", "two")
assert(store.host("x.test") == first, "nothing is looked at within a version")
version(3)
assert(store.host("x.test") == first, "a worker without the profile keeps what it had")
config.profiles.two = true
local second = store.host("x.test")
assert(second ~= first and second.routes[1].profile == "two" and store.host("x.test") == second)
dict:delete("h:x.test")
version(4)
assert(store.host("x.test").host == "")

for i = 1, 40000 do
    set("h" .. i, "one")
    assert(store.host("h" .. i).host == "h" .. i)
    dict:delete("h:h" .. i)
end
collectgarbage()
local kept = 0
for i = 1, 40000 do
    version(4)
    kept = kept + (store.host("h" .. i).host == "" and 0 or 1)
end
assert(kept <= 2 * 16384, kept)
