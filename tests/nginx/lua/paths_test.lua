-- Paths: whole segments, longest prefix, exact first, regular expressions between them.

local paths = require "paths"

local function entry(...)
    local found = { routes = { ... } }
    paths.index(found)
    return found
end

local function at(host, uri)
    local route = paths.match(host, uri)
    return route and route.name
end

local root, shop = { path = "/", name = "root" }, { path = "/shop", name = "shop" }
local cart, exact = { path = "/shop/cart/", name = "cart" }, { path = "/shop", exact = true, name = "exact" }

local host = entry(root, shop, cart)
assert(at(host, "/") == "root")
assert(at(host, "/shop") == "shop" and at(host, "/shop/") == "shop" and at(host, "/shop/x") == "shop")
assert(at(host, "/shopping") == "root" and at(host, "/sho") == "root")
assert(at(host, "/shop/cart") == "cart" and at(host, "/shop/cart/1/2") == "cart" and at(host, "/shop/carts") == "shop")
assert(at(host, "/" .. ("x/"):rep(5000)) == "root")

host = entry(shop, exact)
assert(at(host, "/shop") == "exact" and at(host, "/shop/") == "shop" and at(host, "/") == nil)
assert(at(host, "") == nil)

host = entry(root, exact, { path = "/shop(/|$)(.*)", regex = true, name = "regex" }, { path = "/[a-z]+", regex = true, name = "second" })
assert(at(host, "/shop") == "exact" and at(host, "/SHOP/x") == "regex" and at(host, "/other") == "second")
assert(at(host, "/1/shop") == "root")

-- As many lengths as you like: few are looked for one by one, many by the path's segments.
local routes, path = { root }, ""
for i = 1, 20 do
    path = path .. "/" .. ("s"):rep(i)
    routes[#routes + 1] = { path = path, name = i }
    local deep = entry(unpack(routes))
    assert(at(deep, path) == i and at(deep, path .. "/x") == i and at(deep, path .. "x") == (i > 1 and i - 1 or "root"))
    assert(at(deep, "/other/x") == "root")
end
