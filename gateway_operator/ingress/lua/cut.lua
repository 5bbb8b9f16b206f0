-- Ends this worker's connections to backends of clusters that are down for sure. A network that is cut tells nobody, so
-- what waits for an answer there would wait for the whole read time-out, and what is idle would take the next request.
--
-- A process may shut its own sockets down without any right; nginx then meets a closed connection and does as always:
-- it asks another endpoint if the request allows that.

local cjson = require "cjson.safe"
local ffi = require "ffi"

local dict = ngx.shared.gateway

ffi.cdef [[
    typedef struct { uint64_t ino; int64_t off; unsigned short length; unsigned char type; char name[256]; } gw_dirent;
    void *opendir(const char *name);
    gw_dirent *readdir(void *dir);
    int closedir(void *dir);
    int getpeername(int fd, unsigned char *address, unsigned int *length);
    int inet_pton(int family, const char *text, unsigned char *address);
    int shutdown(int fd, int how);
]]
local C = ffi.C

local _M = {}
local TICK, AGAIN = 0.1, 3  -- s; what raced with the news is found by looking again
local INET, INET6, BOTH = 2, 10, 2
local SIZE = 128

local address, length = ffi.new("unsigned char[?]", SIZE), ffi.new("unsigned int[1]")
local parsed = ffi.new("unsigned char[16]")
local seen, left, keys = nil, 0, {}

-- The form in which a peer's address is compared: its port and its bytes.
local function key_of(text)
    local host, port = text:match("^%[?([^%]]+)%]?:(%d+)$")
    if not host then
        return nil
    end
    local six = host:find(":", 1, true) ~= nil
    if C.inet_pton(six and INET6 or INET, host, parsed) ~= 1 then
        return nil
    end
    return string.char(math.floor(port / 256), port % 256) .. ffi.string(parsed, six and 16 or 4)
end

local function peer(fd)
    length[0] = SIZE
    if C.getpeername(fd, address, length) ~= 0 then
        return nil
    end
    local family = address[0] + 256 * address[1]
    if family == INET then
        return ffi.string(address + 2, 6)
    elseif family == INET6 then
        return ffi.string(address + 2, 2) .. ffi.string(address + 8, 16)
    end
end

-- Shut down all connections to these addresses; returns how many.
function _M.shut(wanted)
    local dir, count = C.opendir("/proc/self/fd"), 0
    if dir == nil then
        return 0
    end
    while true do
        local item = C.readdir(dir)
        if item == nil then
            break
        end
        local fd = tonumber(ffi.string(item.name))
        if fd and wanted[peer(fd) or ""] and C.shutdown(fd, BOTH) == 0 then
            count = count + 1
        end
    end
    C.closedir(dir)
    return count
end

function _M.keys(list)
    local found = {}
    for _, text in ipairs(list) do
        local key = key_of(text)
        if key then
            found[key] = true
        end
    end
    return found
end

local function look(premature)
    if premature then
        return
    end
    local raw = dict:get("cut")
    if raw ~= seen then
        seen, left = raw, AGAIN
        keys = _M.keys(raw and cjson.decode(raw) or {})
    end
    if left > 0 then
        left = left - 1
        if next(keys) then
            local count = _M.shut(keys)
            if count > 0 then
                ngx.log(ngx.WARN, "connections ended to clusters that are down: ", count)
            end
        end
    end
end

function _M.start()
    assert(ngx.timer.every(TICK, look))
end

return _M
