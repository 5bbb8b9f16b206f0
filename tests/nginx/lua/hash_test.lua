-- Hashes: nginx's own, and a mix that spreads.

local algorithms = require "algorithms"
local hash = require "hash"

assert(hash.of("") == 0)
assert(hash.of("a") ~= hash.of("b") and hash.of("key") < 2 ^ 32 and hash.of("key") >= 0)

local buckets = {}
for i = 1, 10000 do
    local value = hash.mix(hash.of("k" .. i), hash.of("10.0.0.1:80"))
    assert(value > 0 and value < 1)
    local bucket = math.floor(value * 10)
    buckets[bucket] = (buckets[bucket] or 0) + 1
end
for bucket = 0, 9 do
    assert(math.abs(buckets[bucket] - 1000) < 150, bucket .. ": " .. buckets[bucket])
end

local function endpoints(...)
    local list = {}
    for i, weight in ipairs({ ... }) do
        list[i] = { name = "10.0.0." .. i .. ":80", seed = hash.of("10.0.0." .. i .. ":80"), weight = weight }
    end
    return list
end

-- Shares follow the weights, and a new endpoint takes keys from the others without moving any between them.
local three, four = endpoints(1, 2, 1), endpoints(1, 2, 1, 1)
local counts, moved = {}, 0
for i = 1, 10000 do
    local before, after = algorithms.by_key(three, "key" .. i), algorithms.by_key(four, "key" .. i)
    counts[before.name] = (counts[before.name] or 0) + 1
    if before.name ~= after.name then
        assert(after.name == "10.0.0.4:80")
        moved = moved + 1
    end
end
assert(math.abs(counts["10.0.0.2:80"] - 5000) < 300, counts["10.0.0.2:80"])
assert(math.abs(moved - 2000) < 200, moved)
