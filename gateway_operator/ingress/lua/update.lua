-- Puts data into the shared dict: from the controller while nginx runs, from the snapshot when it starts.
--
-- Only `safe_set` is used, so what doesn't fit is an error and never pushes out something else. Keys with `#` are nginx's
-- own: `#v` version, `#g` digest, `#k` number of keys, `#h:...` and `#hv` health, `#l:...` keys of a full load under way.

local records = require "records"

local dict = ngx.shared.gateway

local _M = {}
local LOAD_TIME = 120  -- s, after which a load that nobody ends is forgotten

local function set(key, value)
    local ok, err = dict:safe_add(key, value)
    if ok then
        dict:incr("#k", 1, 0)
        return true
    end
    if err == "exists" then
        ok, err = dict:safe_set(key, value)
    end
    return ok, err
end

local function delete(key)
    if dict:get(key) then
        dict:delete(key)
        dict:incr("#k", -1, 0)
    end
end

function _M.version()
    return dict:get("#v") or 0
end

-- From now on workers ask clients to leave: a connection that ends after an answer is never cut under a request.
function _M.drain()
    dict:set("#v", _M.version(), 0, 1)
end

-- Note the keys of one request of a full load; at its end all other keys go.
local function remember(load, keys)
    local number = dict:incr("#n:" .. load, 1, 0, LOAD_TIME)
    return dict:safe_set("#l:" .. load .. ":" .. number, table.concat(keys, "\n"), LOAD_TIME)
end

local function sweep(load)
    local keep = {}
    for number = 1, dict:get("#n:" .. load) or 0 do
        local name = "#l:" .. load .. ":" .. number
        for key in (dict:get(name) or ""):gmatch("[^\n]+") do
            keep[key] = true
        end
        dict:delete(name)
    end
    dict:delete("#n:" .. load)
    for _, key in ipairs(dict:get_keys(0)) do
        if key:byte() ~= 35 and not keep[key] then
            delete(key)
        end
    end
end

local function commit(record, load)
    dict:set("#g", record[4] or "")
    local _, flags = dict:get("#v")
    dict:set("#v", tonumber(record[3]), 0, flags or 0)
    if load then
        sweep(load)
    end
end

-- Apply a text of records; return true, or nil, "full" and the key that found no room, or nil and another error.
-- Deletions come after the commit: until then a worker may look for what the old version names.
function _M.apply(text, load)
    local list, err = records.parse(text)
    if not list then
        return nil, err
    end
    local keys, gone, last = {}, {}, nil
    for _, record in ipairs(list) do
        if record[1] == "S" then
            local ok, reason = set(record[2], record[3])
            if not ok then
                return nil, reason == "no memory" and "full" or reason, record[2]
            end
            keys[#keys + 1] = record[2]
        elseif record[1] == "D" then
            gone[#gone + 1] = record[2]
        else
            last = record
        end
    end
    if load and not remember(load, keys) then
        return nil, "full", "#l"
    end
    if last then
        commit(last, load)
    end
    for _, key in ipairs(gone) do
        delete(key)
    end
    return true
end

-- Load the snapshot into an empty dict; a file that isn't complete is left alone.
function _M.load_file(path)
    local file = io.open(path, "rb")
    if not file then
        return
    end
    local text = file:read("*a")
    file:close()
    if not text:match("\nV %* %d+ ?%x*\n$") and not text:match("^V %* %d+ ?%x*\n$") then
        ngx.log(ngx.WARN, "the snapshot of the data isn't complete, so nothing is loaded")
        return
    end
    local ok, err, key = _M.apply(text)
    if not ok then
        ngx.log(ngx.ERR, "the snapshot of the data can't be loaded: ", err, " ", key)
    end
end

return _M
