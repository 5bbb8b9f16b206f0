-- The status server's `/metrics-data`: all series as JSON, in pieces, so that a scrape doesn't hold up a worker.

local cjson = require "cjson.safe"
local clusters = require "cluster_metrics"
local ffi = require "ffi"
local metrics = require "metrics"

local concat = table.concat
local dict = ngx.shared.gateway_metrics

local _M = {}
local PIECE = 200
local pointer = ffi.typeof("const double *")

local function number(value)
    return string.format("%.14g", value)
end

local function histogram(cells, index)
    local at, size = metrics.START[index], #metrics.HISTOGRAMS[index][2] + 1
    local counts = {}
    for i = 1, size do
        counts[i] = number(cells[at + i])
    end
    return '{"sum":' .. number(cells[at]) .. ',"counts":[' .. concat(counts, ",") .. "]}"
end

local function one(key, raw)
    local cells = ffi.cast(pointer, raw)
    local parts = {}
    for i, item in ipairs(metrics.HISTOGRAMS) do
        parts[i] = '"' .. item[1] .. '":' .. histogram(cells, i)
    end
    return '{"labels":' .. key .. ',"requests":' .. number(cells[0]) .. ',"histograms":{' .. concat(parts, ",") .. "}}"
end

-- `labels` of a cluster's series are: namespace, policy, host, path, cluster, class of the status. `labels` of a series are, in order: namespace, ingress, service, canary, host, path, method, status.
function _M.run()
    ngx.header["Content-Type"] = "application/json"
    ngx.print('{"bounds":', cjson.encode({ time = metrics.TIME, length = metrics.LENGTH }), ',"series":[')
    local comma = ""
    for i = 1, dict:get("#") or 0 do
        local key = dict:get("#" .. i)
        local raw = key and dict:get(key)
        if raw then
            ngx.print(comma, one(key, raw))
            comma = ","
        end
        if i % PIECE == 0 then
            ngx.flush(true)
        end
    end
    ngx.print('],"clusters":[')
    comma = ""
    for key, count in clusters.each() do
        ngx.print(comma, '{"labels":', key, ',"requests":', number(count), "}")
        comma = ","
    end
    ngx.print("]}")
end

return _M
