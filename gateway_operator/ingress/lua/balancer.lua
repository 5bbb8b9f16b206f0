-- Chooses an endpoint for each attempt of a request. nginx itself decides whether there is another attempt
-- (`proxy_next_upstream`: what isn't idempotent is never sent twice); here is said how many there may be, and where.

local algorithms = require "algorithms"
local config = require "config"
local endpoints = require "endpoints"
local ngx_balancer = require "ngx.balancer"
local request = require "request"
local split = require "split"
local sticky = require "sticky"
local store = require "store"

local context = request.context
local enable_keepalive = ngx_balancer.enable_keepalive
local get_last_failure = ngx_balancer.get_last_failure
local set_current_peer = ngx_balancer.set_current_peer
local set_more_tries, set_timeouts = ngx_balancer.set_more_tries, ngx_balancer.set_timeouts
local min = math.min

local _M = {}

local function choose(upstream, ctx)
    local now = ngx.now()
    local list = endpoints.candidates(upstream, ctx.tried, now)
    if #list == 1 and not upstream.affinity then
        return list[1]
    elseif upstream.affinity and ctx.route then
        return sticky.pick(upstream, list, ctx)
    end
    return algorithms[upstream.algorithm](upstream, list, ctx, now)
end

-- The first attempt: one more for each other endpoint, within the profile's number (0: as many as there are).
local function begin(upstream, ctx)
    local route = ctx.route
    local tries = route and route.tries or config.tries
    local count = #upstream.list + (ctx.split and #ctx.split.spare or 0)
    local more = (tries > 0 and min(tries, count) or count) - 1
    if more > 0 then
        set_more_tries(more)
    end
    local timeouts = route and route.timeouts
    if timeouts then
        set_timeouts(timeouts.connect, timeouts.send, timeouts.read)
    end
end

-- The attempt before has ended: badly, or nginx would not ask again.
local function another(upstream, ctx)
    local endpoint = ctx.endpoint
    ctx.tried = ctx.tried or {}
    ctx.tried[endpoint] = true
    if ctx.route then
        endpoint.active = endpoint.active - 1
    end
    if get_last_failure() == "failed" then
        endpoints.failed(upstream, endpoint)
    end
end

-- With `once` the connection isn't kept: its TLS was made for this request's host.
local function attempt(id, ctx, once)
    store.follow()
    if ctx.split and (ctx.endpoint or not store.upstream(id)) then
        id = split.elsewhere(ctx)  -- another cluster takes what this one failed to take
    end
    local upstream = store.upstream(id) or ctx.balanced
    if not upstream then
        return ngx.exit(ngx.ERROR)
    end
    if ctx.endpoint then
        another(ctx.balanced, ctx)
    else
        begin(upstream, ctx)
    end
    local endpoint = choose(upstream, ctx)
    ctx.balanced, ctx.endpoint = upstream, endpoint
    if ctx.route then
        endpoint.active = endpoint.active + 1
    end
    local ok, err = set_current_peer(endpoint.address, endpoint.port)
    if not ok then
        ngx.log(ngx.ERR, "an endpoint can't be used: ", err)
        return ngx.exit(ngx.ERROR)
    end
    if config.keep and not once then
        enable_keepalive(config.keep, config.keep_requests)
    end
end

-- For the backend that the router chose.
function _M.balance()
    local ctx = context()
    return attempt(ctx.upstream, ctx)
end

function _M.balance_once()
    local ctx = context()
    return attempt(ctx.upstream, ctx, true)
end

-- For a backend that nginx's own redirects and subrequests lead to: the name of it lies in the configuration, or in a
-- variable, and its requests count for nobody.
function _M.fixed(id, once)
    local ctx = context()
    if not ctx.fixed then
        ctx.fixed = { path = "", host = { host = request.get("host") } }
    end
    attempt(id, ctx.fixed, once)
end

function _M.fixed_once(id)
    _M.fixed(id, true)
end

return _M
