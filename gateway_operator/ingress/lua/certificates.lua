-- Certificates by name, in the handshake: parsed once per worker, so that a new one needs no reload.

local ssl = require "ngx.ssl"

local _M = {}

-- Parse a chain and its key, both in one PEM text.
function _M.parse_pair(pem)
    local chain, err = ssl.parse_pem_cert(pem)
    if not chain then
        return nil, err
    end
    local key
    key, err = ssl.parse_pem_priv_key(pem)
    return key and { chain = chain, key = key }, err
end

-- Parse the certificates that sign those of clients.
function _M.parse_authority(pem)
    local chain, err = ssl.parse_pem_cert(pem)
    return chain and { chain = chain }, err
end

function _M.keep(parsed)
    return parsed
end

return _M
