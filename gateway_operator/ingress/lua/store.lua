-- What the controller told: decoded entries of the shared dict, kept per worker.
--
-- Decoding costs a thousand times more than looking, so each worker keeps what it decoded and checks it only after the
-- data's version (`#v`) moved. A cache has two generations of tables: when the young one is full it becomes the old one,
-- so what nobody asks for any more is forgotten without a list of ages.

local request = require "request"

local dict = ngx.shared.gateway
local read_version = request.reader(dict, "#v")
local find, sub = string.find, string.sub
local now = ngx.now

local _M = {}
local GENERATION = 16384
local version, synced

-- `build(decoded, former, key)` makes an item of an entry; nil keeps the former one (see hosts.build).
local function cache(prefix, decode, build)
    local young, old, count = {}, {}, 0

    return function(key)
        local item = young[key] or old[key]
        if item and item.version == version then
            return item
        end
        local raw = dict:get(prefix .. key)
        if not raw then
            young[key], old[key] = nil, nil
            return nil
        end
        if not item or item.raw ~= raw then
            local data, err = decode(raw)
            local built = data and build(data, item, key)
            if err then
                ngx.log(ngx.ERR, "an entry of the data can't be read: ", prefix, key, ": ", err)
            end
            if not built then
                return item
            end
            item = built
            item.raw = raw
        end
        item.version = version
        if not young[key] then
            count = count + 1
            if count > GENERATION then
                young, old, count = {}, young, 1
            end
        end
        young[key] = item
        return item
    end
end

local host

-- Say how entries are read; done at the start, since hosts and endpoints need this module themselves.
function _M.open(hosts, endpoints, certificates, splits)
    local decode = require("cjson.safe").decode
    host = cache("h:", decode, hosts.build)
    _M.upstream = cache("u:", decode, endpoints.build)
    _M.split = cache("s:", decode, splits.build)
    _M.certificate = cache("c:", certificates.parse_pair, certificates.keep)
    _M.authority = cache("a:", certificates.parse_authority, certificates.keep)
end

-- Look at the version once; what follows in the same request is checked against it. Its flags say that this nginx is
-- about to end (update.drain).
function _M.sync()
    local flags
    version, flags = read_version()
    _M.draining = flags == 1
    synced = now()
    return version
end

-- The same for a later phase: what was found in this very millisecond is new enough.
function _M.follow()
    if synced ~= now() then
        _M.sync()
    end
end

-- The entry of a host name: its own, that of `*.` and the rest behind the first label, or the default's.
function _M.host(name)
    local item = host(name)
    if item then
        return item
    end
    local dot = find(name, ".", 1, true)
    if dot then
        item = host("*" .. sub(name, dot))
    end
    return item or host("")
end

return _M
