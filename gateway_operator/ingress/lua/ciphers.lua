-- A host's own TLS ciphers, set on a connection in its handshake: as data they need neither a server block nor a reload.
-- They are those up to TLS 1.2; TLS 1.3 has a list of its own, which all hosts share.

local ffi = require "ffi"
local ssl = require "ngx.ssl"

local _M = {}
local SERVER_PREFERENCE = 0x00400000  -- SSL_OP_CIPHER_SERVER_PREFERENCE

ffi.cdef [[
int SSL_set_cipher_list(void *ssl, const char *names);
uint64_t SSL_set_options(void *ssl, uint64_t options);
uint64_t SSL_clear_options(void *ssl, uint64_t options);
]]

-- A list that OpenSSL doesn't take ends the handshake: weaker ciphers than asked for are no way out.
function _M.set(wanted)
    local connection = assert(ssl.get_req_ssl_pointer())
    if wanted.names then
        assert(ffi.C.SSL_set_cipher_list(connection, wanted.names) == 1, "no such cipher")
    end
    if wanted.order == "client" then
        ffi.C.SSL_clear_options(connection, SERVER_PREFERENCE)
    elseif wanted.order == "server" then
        ffi.C.SSL_set_options(connection, SERVER_PREFERENCE)
    end
end

return _M
