-- Client certificates of a whole host. The handshake only asks for one (certificates.lua); who isn't verified is refused
-- here, where a client gets a readable answer.

local redirect = require "redirect"
local request = require "request"
local template = require "template"

local get = request.get
local re_find = ngx.re.find

local _M = {}
local NOT_VERIFIED, NO_CERTIFICATE, MISDIRECTED = 495, 496, 421

-- What `optional_no_ca` forgives: nobody we know has signed it.
local UNKNOWN_SIGNER = { "self.signed certificate", "unable to get", "unable to verify the first certificate" }

local function forgiven(verdict)
    for _, text in ipairs(UNKNOWN_SIGNER) do
        if verdict:find(text) then
            return true
        end
    end
    return false
end

-- Return nil when the client may go on, else the status that says why not.
local function judge(auth, verdict)
    if verdict == "SUCCESS" then
        return nil
    elseif verdict == "NONE" or not verdict then
        return auth.verify == "on" and NO_CERTIFICATE or nil
    end
    return not (auth.verify == "optional_no_ca" and forgiven(verdict)) and NOT_VERIFIED or nil
end

local function tell_backend(auth)
    local set = ngx.req.set_header
    set("ssl-client-verify", get("ssl_client_verify") or "NONE")
    set("ssl-client-subject-dn", get("ssl_client_s_dn") or "")
    set("ssl-client-issuer-dn", get("ssl_client_i_dn") or "")
    set("ssl-client-cert", auth.pass and get("ssl_client_escaped_cert") or nil)
end

function _M.compile(_, host)
    local auth = host.client
    if not auth then
        return nil
    end
    local page = auth.page and template.compile(auth.page)

    return function(ctx)
        if auth.refuse then
            return 403
        end
        local sni = get("ssl_server_name")
        if sni and sni:lower() ~= get("host") then
            return MISDIRECTED  -- the handshake asked what another host wants
        end
        local refusal = judge(auth, sni and get("ssl_client_verify") or nil)
        if refusal and page then
            return redirect.to(page(ctx), 302)
        elseif refusal then
            return refusal
        end
        if auth.name and not re_find(get("ssl_client_s_dn") or "", auth.name, "jo") then
            return 403
        end
        tell_backend(auth)
    end
end

return _M
