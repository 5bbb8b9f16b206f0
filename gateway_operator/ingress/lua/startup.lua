-- What happens once: for nginx (settings, snapshot), and for each worker (random numbers, timers).

local cjson = require "cjson.safe"
local config = require "config"

local _M = {}

-- Take the settings (JSON) of this generation, and the snapshot when the dict is new: never on a reload.
function _M.init(settings)
    for key, value in pairs(assert(cjson.decode(settings))) do
        config[key] = value
    end
    if not ngx.shared.gateway:get("#v") then
        require("update").load_file(config.snapshot)
    end
    require("store").open(require "hosts", require "endpoints", require "certificates")
    for _, name in ipairs({ "router", "balancer", "handshake", "log", "data", "metrics_page", "health" }) do
        require(name)  -- before nginx forks, so that workers share the memory
    end
end

function _M.worker()
    math.randomseed(ngx.now() * 1000 + ngx.worker.pid() * 7919)
    if config.metrics then
        require("metrics").start()
    end
    if ngx.worker.id() == 0 then
        require("health").start()
    end
end

return _M
