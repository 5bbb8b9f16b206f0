-- Algorithms over plain tables: shares, slow start, and what a failure does.

local algorithms = require "algorithms"
local endpoints = require "endpoints"

local function upstream(extra, ...)
    local entry = { endpoints = {} }
    for i, weight in ipairs({ ... }) do
        entry.endpoints[i] = { a = "10.0.0." .. i, p = 80, w = weight ~= 1 and weight or nil }
    end
    for key, value in pairs(extra) do
        entry[key] = value
    end
    return endpoints.build(entry, nil, "00ff")
end

local function shares(found, algorithm, now, count)
    local counts = {}
    for _ = 1, count do
        local chosen = algorithms[algorithm](found, found.list, {}, now)
        counts[chosen.name] = (counts[chosen.name] or 0) + 1
    end
    return counts
end

local now = ngx.now()
local counts = shares(upstream({}, 1, 1, 1), "round_robin", now, 9)
assert(counts["10.0.0.1:80"] == 3 and counts["10.0.0.2:80"] == 3 and counts["10.0.0.3:80"] == 3)
counts = shares(upstream({}, 5, 1), "round_robin", now, 60)
assert(counts["10.0.0.1:80"] == 50 and counts["10.0.0.2:80"] == 10)

-- A loaded endpoint is avoided.
for _, algorithm in ipairs({ "least_conn", "ewma" }) do
    local found = upstream({ algorithm = algorithm }, 1, 1)
    found.list[1].active = 10
    found.list[1].ewma, found.list[2].ewma = 0.1, 0.1
    assert(shares(found, algorithm, now, 20)["10.0.0.2:80"] == 20)
end

-- A slow answer counts at once, and is forgotten slowly.
local endpoint = upstream({}, 1).list[1]
algorithms.ending(endpoint, 1)
assert(endpoint.ewma == 1)
algorithms.ending(endpoint, 0.1)
assert(endpoint.ewma > 0.9)

-- Slow start: a new endpoint begins small and has its weight at the end.
local former = upstream({ slow_start = 100 }, 1)
local grown = endpoints.build({ slow_start = 100, endpoints = { { a = "10.0.0.1", p = 80 }, { a = "10.0.0.2", p = 80 } } }, former, "00ff")
local old, new = grown.list[1], grown.list[2]
assert(endpoints.weight(grown, old, now) == 1)
assert(endpoints.weight(grown, new, now) < 0.05)
assert(math.abs(endpoints.weight(grown, new, new.since + 50) - 0.5) < 0.01)
assert(endpoints.weight(grown, new, new.since + 100) == 1)
assert(grown.list[1] == former.list[1], "what a worker knows of an endpoint outlives the list")

-- Passive failures: enough of them within the time, and the endpoint rests.
local failing = upstream({ max_fails = 2, fail_timeout = 10 }, 1, 1)
endpoints.failed(failing, failing.list[1])
assert(#endpoints.candidates(failing, nil, now) == 2)
endpoints.failed(failing, failing.list[1])
local left = endpoints.candidates(failing, nil, now)
assert(#left == 1 and left[1] == failing.list[2])
assert(#endpoints.candidates(failing, nil, now + 11) == 2)
local tried = { [failing.list[2]] = true }
assert(endpoints.candidates(failing, tried, now)[1] == failing.list[1], "all that weren't tried, when none is well")
tried[failing.list[1]] = true
assert(#endpoints.candidates(failing, tried, now) == 2)
