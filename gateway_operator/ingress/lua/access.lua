-- Who may ask, by address: denied networks first, then the allowed ones, which shut out everybody else.

local networks = require "networks"
local request = require "request"

local _M = {}

function _M.compile(route)
    if not (route.allow or route.deny) then
        return nil
    end
    local allow = route.allow and networks.compile(route.allow)
    local deny = route.deny and networks.compile(route.deny)

    local function admitted(address)
        if deny and networks.contains(deny, address) then
            return false
        end
        return not allow or networks.contains(allow, address)
    end

    return function(ctx)
        local welcome = admitted(request.get("binary_remote_addr"))
        if route.open then  -- `satisfy any`: an admitted address needs no password
            ctx.location = welcome and "/.gw/" .. route.open or ctx.location
        elseif not welcome then
            return 403
        end
    end
end

return _M
