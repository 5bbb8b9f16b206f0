-- Buckets: the first bound that isn't exceeded, as Prometheus means it, and one more for what is above all.

local metrics = require "metrics"

local function expected(bounds, value)
    for i, bound in ipairs(bounds) do
        if value <= bound then
            return i
        end
    end
    return #bounds + 1
end

for _, seconds in ipairs({ 0, 0.001, 0.004, 0.005, 0.006, 0.01, 0.011, 0.25, 0.251, 1, 2.5, 2.501, 10, 10.001, 1e9 }) do
    assert(metrics.time_bucket(seconds) == expected(metrics.TIME, seconds), seconds)
end
assert(metrics.time_bucket(1700000000.005 - 1700000000) == 1, "the clock's floating point makes no difference")
assert(metrics.time_bucket(-3) == 1, "a clock that went back")
for _, length in ipairs({ 0, 9, 10, 11, 99, 100, 101, 1e12 }) do
    assert(metrics.length_bucket(length) == expected(metrics.LENGTH, length), length)
end
