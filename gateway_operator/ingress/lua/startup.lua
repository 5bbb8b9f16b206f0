-- What happens once: for nginx (settings, snapshot), and for each worker (random numbers, timers).

local cjson = require "cjson.safe"
local config = require "config"

local _M = {}
local TUNE_EVERY, SMALL = 10, 32 * 1024  -- s, KiB

-- Take the settings (JSON) of this generation, and the snapshot when the dict is new: never on a reload.
function _M.init(settings)
    for key, value in pairs(assert(cjson.decode(settings))) do
        config[key] = value
    end
    if not ngx.shared.gateway:get("#v") then
        require("update").load_file(config.snapshot)
    end
    require("routes").open()
    require("store").open(require "hosts", require "endpoints", require "certificates", require "split")
    for _, name in ipairs({ "router", "balancer", "handshake", "log", "data", "metrics_page", "health" }) do
        require(name)  -- before nginx forks, so that workers share the memory
    end
end

-- What requests leave behind is collected less often while it is little: marking all hosts each time costs more than the
-- memory is worth.
local function tune()
    collectgarbage("setpause", collectgarbage("count") < SMALL and 400 or 200)
end

function _M.worker()
    math.randomseed(ngx.now() * 1000 + ngx.worker.pid() * 7919)
    if config.metrics then
        require("metrics").start()
    end
    require("cut").start()
    tune()
    assert(ngx.timer.every(TUNE_EVERY, tune))
    if ngx.worker.id() == 0 then
        require("health").start()
    end
end

return _M
