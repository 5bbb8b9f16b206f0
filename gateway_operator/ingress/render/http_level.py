"""The http level of both renderers: the gateway's settings as the context of main_common.j2 and http_common.j2."""

from __future__ import annotations

import re
from typing import Any

from gateway_operator.ingress.plan import Machine, Plan, Settings
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.headers import answer_headers, hidden_headers, request_headers
from gateway_operator.ingress.render.profiles import busy_buffers
from gateway_operator.ingress.render.stream import needs_stream
from gateway_operator.ingress.render.text import block, directive, entry, word

HTTP2_DIRECTIVE_SINCE = (1, 25, 1)
KEEPALIVE_MIN_SINCE = (1, 27, 4)
# a worker that ends after a reload answers who asks meanwhile, and tells them to go; else a request may meet the close
_KEEPALIVE_MIN = "10s"
_LONGEST_PIECE = 900  # characters, each of which has four bytes at most when it is escaped
_PORT = "$server_port"
_DEFAULT_LOGS = {"/var/log/nginx/access.log": "/dev/stdout", "/var/log/nginx/error.log": "stderr"}


def http_context(plan: Plan) -> dict[str, Any]:
    """Return the context of main_common.j2, http_common.j2 and status_common.j2."""
    s, machine = plan.settings, plan.machine
    return {
        **_main(plan),
        **_names(plan),
        **_client(s, machine),
        **_logs(s),
        **_tls(plan),
        **_origin(plan),
        **_proxy(s),
        "status_port": v.integer(machine.status_port),
        "blocking": _blocking(s),
        "answer_headers": answer_headers(s, strict=False),
        "request_headers": request_headers(s),
    }


def _main(plan: Plan) -> dict[str, Any]:
    s, machine = plan.settings, plan.machine
    workers = machine.cpus if s.worker_processes == "auto" else int(s.worker_processes)
    modules = ["ngx_stream_module"] if needs_stream(plan) and machine.modules else []
    lines = []
    if s.worker_cpu_affinity:
        lines.append(directive("worker_cpu_affinity", v.words(s.worker_cpu_affinity)))
    if s.max_worker_open_files:
        lines.append(directive("worker_rlimit_nofile", v.integer(s.max_worker_open_files)))
    return {
        "modules": [v.module(machine.modules, name) for name in modules],
        "error_log": _log_file(s.error_log_path),
        "error_log_level": v.words(s.error_log_level),
        # without a log on stderr nginx turns stderr itself into the file, until it is started anew
        "error_log_is_file": str(_log_file(s.error_log_path)) != "stderr",
        "worker_processes": v.integer(workers),
        "worker_shutdown_timeout": v.duration(s.worker_shutdown_timeout),
        "worker_lines": lines,
        "worker_connections": v.integer(s.max_worker_connections),
        "multi_accept": v.switch(s.enable_multi_accept),
    }


def _names(plan: Plan) -> dict[str, Any]:
    s = plan.settings
    hosts = [name for server in plan.servers for name in (server.host, *server.aliases)]
    longest = max(map(len, hosts))
    return {
        "names_hash_max": v.integer(max(s.server_name_hash_max_size, _power_of_two(2 * len(hosts)))),
        "names_hash_bucket": v.integer(max(s.server_name_hash_bucket_size, _power_of_two(longest + 24))),
        "map_hash_bucket": v.integer(max(s.map_hash_bucket_size, 64)),
        "variables_hash_max": v.integer(max(s.variables_hash_max_size, 2048)),
        "variables_hash_bucket": v.integer(max(s.variables_hash_bucket_size, 128)),
        "headers_hash_max": v.integer(s.proxy_headers_hash_max_size),
        "headers_hash_bucket": v.integer(max(s.proxy_headers_hash_bucket_size, 256)),
    }


def _client(s: Settings, machine: Machine) -> dict[str, Any]:
    rates = []
    if s.limit_rate:
        rates.append(directive("limit_rate", v.size(f"{s.limit_rate}k")))
        rates.append(directive("limit_rate_after", v.size(f"{s.limit_rate_after}k")))
    return {
        "server_tokens": v.switch(s.server_tokens),
        "client_header_buffer_size": v.size(s.client_header_buffer_size),
        "client_header_timeout": v.duration(s.client_header_timeout),
        "client_body_buffer_size": v.size(s.client_body_buffer_size),
        "client_body_timeout": v.duration(s.client_body_timeout),
        "large_client_header_buffers": v.words(s.large_client_header_buffers),
        "body_size": v.size(s.proxy_body_size),
        "keep_alive": v.duration(s.keep_alive),
        "keep_alive_min": v.duration(_KEEPALIVE_MIN) if machine.nginx_version >= KEEPALIVE_MIN_SINCE else None,
        "keep_alive_requests": v.integer(s.keep_alive_requests),
        "http2_directive": v.switch(s.use_http2) if machine.nginx_version >= HTTP2_DIRECTIVE_SINCE else None,
        "http2_streams": v.integer(s.http2_max_concurrent_streams),
        "ignore_invalid_headers": v.switch(s.ignore_invalid_headers),
        "underscores_in_headers": v.switch(s.enable_underscores_in_headers),
        "rates": rates,
        "limit_req_status": v.integer(s.limit_req_status_code),
        "limit_conn_status": v.integer(s.limit_conn_status_code),
        "gzip": _gzip(s) if s.use_gzip else None,
    }


def _gzip(s: Settings) -> dict[str, Any]:
    types = [v.mime(item) for item in s.gzip_types if item != "text/html"]  # nginx always compresses it and warns
    return {"level": v.integer(s.gzip_level), "min_length": v.integer(s.gzip_min_length), "types": types}


def _logs(s: Settings) -> dict[str, Any]:
    escape = "json" if s.log_format_escape_json else "none" if s.log_format_escape_none else None
    off = s.disable_access_log or s.disable_http_access_log
    return {
        "log_escape": word(escape) if escape else None,
        "log_format": [v.with_variables(piece) for piece in _pieces(s.log_format_upstream)],
        "skipped_urls": [v.regex(f"^{v.exactly(url)}$", prefix="~") for url in s.skip_access_log_urls],
        "access_log": None if off else _log_file(s.http_access_log_path or s.access_log_path),
    }


def _pieces(text: str) -> list[str]:
    """Cut a log format between variables: nginx takes several texts for one, and none of more than 4,095 bytes."""
    found = [""]
    for part in re.findall(r"\$\{\w+\}|\$\w+|[^$]", text, re.ASCII):
        if len(found[-1]) + len(part) > _LONGEST_PIECE:
            found.append("")
        found[-1] += part
    return found


def _log_file(path: str) -> v.Typed:
    """Containers log to their own output; upstream's default files are links to it."""
    return v.log_file(_DEFAULT_LOGS.get(path, path))


def _tls(plan: Plan) -> dict[str, Any]:
    """No session may be resumed where clients show certificates: TLS 1.3 would resume it under another name."""
    s = plan.settings
    resume = not any(server.client_auth for server in plan.servers)
    cache = v.words(f"shared:tls:{v.size(s.ssl_session_cache_size)}") if s.ssl_session_cache and resume else word("off")
    return {
        "default_certificate": v.file(f"certs/{plan.default_certificate}.pem"),
        "ssl_protocols": v.words(s.ssl_protocols),
        "ssl_ciphers": v.ciphers(s.ssl_ciphers),
        "ssl_curves": v.ciphers(s.ssl_ecdh_curve),
        "ssl_session_cache": cache,
        "ssl_session_timeout": v.duration(s.ssl_session_timeout),
        "ssl_session_tickets": v.switch(s.ssl_session_tickets and resume),
        "ssl_buffer_size": v.size(s.ssl_buffer_size),
        "ssl_early_data": v.switch(s.ssl_early_data and resume),
        "hsts": v.quoted(_strict_transport(s)) if s.hsts else None,
    }


def _strict_transport(s: Settings) -> str:
    parts = [f"max-age={s.hsts_max_age}"]
    parts += ["includeSubDomains"] if s.hsts_include_subdomains else []
    parts += ["preload"] if s.hsts_preload else []
    return "; ".join(parts)


def _origin(plan: Plan) -> dict[str, Any]:
    """What says where a request came from: PROXY protocol, forwarded headers, our own ports.

    Behind the stream of ssl-passthrough the peer of a connection is ourselves; the PROXY protocol has the real one.
    """
    s, machine, inner = plan.settings, plan.machine, plan.passthrough_enabled
    own_port = word("$own_port" if inner else "$proxy_protocol_server_port" if s.use_proxy_protocol else _PORT)
    return {
        "forwarded_headers": s.use_forwarded_headers,
        "full_forwarded_for": s.use_forwarded_headers and s.compute_full_forwarded_for,
        "forwarded_for": v.request_header(s.forwarded_for_header),
        "real_ip_header": _real_ip_header(plan),
        "trusted": [v.network(item) for item in _trusted(s)],
        "trusted_networks": [v.network(item) for item in _trusted(s) if not item.endswith("/0")],
        "trusts_all": word("1" if "0.0.0.0/0" in s.proxy_real_ip_cidr else "0"),
        "peer": word("$remote_addr" if inner else "$realip_remote_addr"),
        "own_port": own_port,
        "named_port": word("$pass_server_port") if s.use_forwarded_headers else own_port,
        # where nobody may name another port, the cheapest look-up of all
        "http_port": None if s.use_forwarded_headers or own_port.text != _PORT else v.integer(machine.http_port),
        "https_port": v.integer(machine.https_port),
        "inner_https_port": v.integer(machine.inner_https_port) if inner else None,
        "generate_request_id": s.generate_request_id,
        "request_id": word("$request_id"),
    }


def _real_ip_header(plan: Plan) -> v.Typed | None:
    s = plan.settings
    if s.use_proxy_protocol or plan.passthrough_enabled:
        return word("proxy_protocol")
    if s.use_forwarded_headers or s.enable_real_ip:
        return v.header(s.forwarded_for_header)
    return None


def _trusted(s: Settings) -> list[str]:
    networks = list(dict.fromkeys(s.proxy_real_ip_cidr))
    if "0.0.0.0/0" in networks and "::/0" not in networks:
        networks.append("::/0")  # the default means everybody, whatever the protocol
    return networks


def _proxy(s: Settings) -> dict[str, Any]:
    return {
        "proxy_http_version": v.words(s.proxy_http_version),
        "connect_timeout": v.duration(s.proxy_connect_timeout),
        "read_timeout": v.duration(s.proxy_read_timeout),
        "send_timeout": v.duration(s.proxy_send_timeout),
        "proxy_lines": [*_buffers(s), *_trying(s), *_answers(s)],
    }


def _buffers(s: Settings) -> list[v.Typed]:
    lines = [
        directive("proxy_buffering", v.words(s.proxy_buffering)),
        directive("proxy_request_buffering", v.words(s.proxy_request_buffering)),
        directive("proxy_buffer_size", v.size(s.proxy_buffer_size)),
        directive("proxy_buffers", v.integer(s.proxy_buffers_number), v.size(s.proxy_buffer_size)),
        directive("proxy_max_temp_file_size", v.size(s.proxy_max_temp_file_size)),
    ]
    if s.proxy_busy_buffers_size:
        busy = busy_buffers(s.proxy_busy_buffers_size, s.proxy_buffer_size, s.proxy_buffers_number)
        lines.append(directive("proxy_busy_buffers_size", v.integer(busy)))
    return lines


def _trying(s: Settings) -> list[v.Typed]:
    return [
        directive("proxy_next_upstream", v.words(s.proxy_next_upstream)),
        directive("proxy_next_upstream_timeout", v.duration(s.proxy_next_upstream_timeout)),
        directive("proxy_next_upstream_tries", v.integer(s.proxy_next_upstream_tries)),
    ]


def _answers(s: Settings) -> list[v.Typed]:
    lines = [*hidden_headers(s), *hidden_headers(s, prefix="grpc")]
    if s.allow_backend_server_header:
        lines += [directive("proxy_pass_header", word("Server")), directive("grpc_pass_header", word("Server"))]
    if s.proxy_cookie_domain:
        lines.append(directive("proxy_cookie_domain", *map(v.plain, s.proxy_cookie_domain)))
    if s.proxy_cookie_path:
        lines.append(directive("proxy_cookie_path", *map(v.plain, s.proxy_cookie_path)))
    if {s.proxy_redirect_from, s.proxy_redirect_to} & {"off", "default"}:
        lines.append(directive("proxy_redirect", word("off")))  # `default` means our own upstreams' names: none is told
    else:
        lines.append(directive("proxy_redirect", v.plain(s.proxy_redirect_from), v.plain(s.proxy_redirect_to)))
    return lines


def _blocking(s: Settings) -> list[v.Typed]:
    """Print maps to `$blocked` where somebody is shut out of the whole gateway."""
    if not is_blocking(s):
        return []
    one, zero, default = word("1"), word("0"), word("default")
    networks = [entry(v.network(item), one) for item in s.block_cidrs]
    agents = [entry(_pattern(item), one) for item in s.block_user_agents]
    referers = [entry(_pattern(item), one) for item in s.block_referers]
    sum_of_all = v.with_variables("$blocked_address$blocked_agent$blocked_referer")
    return [
        block("geo", [word("$blocked_address")], [entry(default, zero), *networks]),
        block("map", [word("$http_user_agent $blocked_agent")], [entry(default, zero), *agents]),
        block("map", [word("$http_referer $blocked_referer")], [entry(default, zero), *referers]),
        block("map", [sum_of_all, word("$blocked")], [entry(default, one), entry(v.quoted("000"), zero)]),
    ]


def is_blocking(s: Settings) -> bool:
    """Tell whether servers must ask `$blocked` (and answer 403)."""
    return bool(s.block_cidrs or s.block_user_agents or s.block_referers)


def _pattern(text: str) -> v.Typed:
    """A whole text, or a regular expression behind `~` or `~*`."""
    if match := re.match(r"~\*?", text):
        return v.regex(text[match.end() :], prefix=match[0])
    return v.regex(f"^{v.exactly(text)}$", prefix="~*")


def _power_of_two(number: int) -> int:
    return 1 << max(number - 1, 1).bit_length()
