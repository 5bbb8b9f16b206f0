-- Answers the handshake's two questions of a server name: which certificate, and whether clients must show one.

local ciphers = require "ciphers"
local config = require "config"
local ssl = require "ngx.ssl"
local store = require "store"

local _M = {}

local function ask_client(auth)
    local authority = store.authority(auth.authority)
    if not authority then
        return ngx.exit(ngx.ERROR)  -- never let clients in unasked
    end
    assert(ssl.verify_client(authority.chain, auth.depth, authority.chain))
end

-- A host without a certificate of its own has the default one, which nginx read from its file.
function _M.run()
    store.sync()
    local host = store.host((ssl.server_name() or ""):lower())
    if not host then
        return
    end
    if host.host == "" and config.reject_handshake then
        return ngx.exit(ngx.ERROR)
    end
    local pair = host.cert and store.certificate(host.cert)
    if pair then
        assert(ssl.clear_certs())
        assert(ssl.set_cert(pair.chain))
        assert(ssl.set_priv_key(pair.key))
    end
    if host.ciphers then
        ciphers.set(host.ciphers)
    end
    if host.client then
        ask_client(host.client)
    end
end

return _M
