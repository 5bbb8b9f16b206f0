-- A clock that goes back: nobody stays locked out of a rate, and verdicts of health checks are still read.

local config = require "config"
local endpoints = require "endpoints"
local limits = require "limits"
local request = require "request"

local dict = ngx.shared.gateway
local at = ngx.now()
ngx.now = function() return at end
request.get = function() return "\127\0\0\1" end
config.rate_status = 503

local check = limits.compile({ labels = { "ns", "shop" }, limits = { rps = 2, burst = 2 } })

local function passed(count)
    local found = 0
    for _ = 1, count do
        found = found + (check({}) and 0 or 1)
    end
    return found
end

assert(passed(20) == 5)
at = at - 3600
assert(passed(20) == 5, "a bucket that fills an hour from now is no bucket")
at = at + 7200
assert(passed(20) == 5)

local list = { { a = "10.0.0.1", p = 80 }, { a = "10.0.0.2", p = 80 } }
local upstream = endpoints.build({ endpoints = list, health = { interval = 10 } }, nil, "00ff")

local function known(text, now)
    dict:set("#h:00ff", text)
    dict:incr("#hv", 1, 0)
    return #endpoints.candidates(upstream, nil, now)
end

assert(#endpoints.candidates(upstream, nil, at) == 2)
assert(known(",10.0.0.1:80,", at + 0.01) == 2, "it is looked at ten times a second")
assert(known(",10.0.0.1:80,", at + 1) == 1)
assert(known("", at - 3600) == 2)
