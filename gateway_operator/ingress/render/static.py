"""The static renderer: the whole plan as configuration text, for any nginx from 1.22 on. A change is a reload.

One file per host, so that a complaint of `nginx -t` leads to the host by the file's name and to the Ingress by the
line (`Rendered.owners`). All names inside are relative to the folder that nginx.conf lies in, so equal plans give
equal bytes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from gateway_operator.ingress.plan import Labels, Plan, Route, Server, Settings
from gateway_operator.ingress.render import values as v

_TEMPLATES = Path(__file__).parent.parent / "templates"
_HTTP2_DIRECTIVE_SINCE = (1, 25, 1)
_LOCATION_VARIABLES = (
    "namespace", "ingress_name", "service_name", "service_port", "location_path", "proxy_upstream_name",
)  # fmt: skip


@dataclass(frozen=True)
class Rendered:
    """Files by relative name, and for each server file the owner (an id of the index) from each first line on.

    `data` is what a running nginx takes without a reload, by key; the static renderer has none.
    """

    files: Mapping[str, bytes]
    owners: Mapping[str, tuple[tuple[int, str], ...]]
    data: Mapping[str, bytes] = field(default_factory=dict)

    def owner_at(self, file: str, line: int) -> str:
        """Return who is behind a line of a server file; "" where nobody alone is."""
        found = ""
        for first, owner in self.owners.get(file, ()):
            if first <= line:
                found = owner
        return found


def render(plan: Plan) -> Rendered:
    """Print the plan."""
    files = {
        "nginx.conf": _print("nginx.conf.j2", _main(plan)),
        "upstreams.conf": _print("upstreams.conf.j2", _upstreams(plan)),
    }
    files |= {f"certs/{item.id}.pem": item.pem for item in plan.certificates}
    owners: dict[str, tuple[tuple[int, str], ...]] = {}
    for server in plan.servers:
        name = f"servers/{server.id}.conf"
        files[name], owners[name] = _server(plan, server)
    return Rendered(files, owners)


def version_file(version: str) -> bytes:
    """Return the file that makes new workers tell which generation they serve."""
    text = v.quoted(version)
    return f"location = /configuration-version {{\n    return 200 {text};\n}}\n".encode()


def _main(plan: Plan) -> dict[str, Any]:
    s, machine = plan.settings, plan.machine
    hosts = [server.host for server in plan.servers]
    forwarded = s.use_forwarded_headers
    workers = str(machine.cpus) if s.worker_processes == "auto" else s.worker_processes
    context: dict[str, Any] = {
        "error_log_level": v.words(s.error_log_level),
        "worker_processes": v.integer(int(workers)),
        "worker_shutdown_timeout": v.duration(s.worker_shutdown_timeout),
        "worker_connections": v.integer(s.max_worker_connections),
        "server_tokens": v.switch(s.server_tokens),
        "names_hash_max": v.integer(max(s.server_name_hash_max_size, _power_of_two(2 * len(hosts)))),
        "names_hash_bucket": v.integer(max(s.server_name_hash_bucket_size, _power_of_two(max(map(len, hosts)) + 24))),
        "map_hash_bucket": v.integer(max(s.map_hash_bucket_size, 64)),
        "client_header_buffer_size": v.size(s.client_header_buffer_size),
        "client_header_timeout": v.duration(s.client_header_timeout),
        "client_body_buffer_size": v.size(s.client_body_buffer_size),
        "client_body_timeout": v.duration(s.client_body_timeout),
        "large_client_header_buffers": v.words(s.large_client_header_buffers),
        "keep_alive": v.duration(s.keep_alive),
        "keep_alive_requests": v.integer(s.keep_alive_requests),
        "http2_directive": v.switch(s.use_http2) if machine.nginx_version >= _HTTP2_DIRECTIVE_SINCE else None,
        "gzip": _gzip(s) if s.use_gzip else None,
        "log_escape_json": s.log_format_escape_json,
        "log_format": v.with_variables(s.log_format_upstream),
        "access_log": not s.disable_access_log,
        "default_certificate": v.file(f"certs/{plan.default_certificate}.pem"),
        "ssl_protocols": v.words(s.ssl_protocols),
        "ssl_ciphers": v.ciphers(s.ssl_ciphers),
        "forwarded_headers": forwarded,
        "full_forwarded_for": forwarded and s.compute_full_forwarded_for,
        "real_ip_header": _real_ip_header(s),
        "trusted": [v.network(item) for item in _trusted(s)],
        "own_port": v.Typed("$proxy_protocol_server_port" if s.use_proxy_protocol else "$server_port"),
        "https_port": v.integer(machine.https_port),
        "status_port": v.integer(machine.status_port),
        "hsts": v.quoted(_hsts(s)) if s.hsts else None,
        "upstream_host": None,
    }
    return context | _proxy(s)


def _proxy(s: Settings) -> dict[str, Any]:
    return {
        "body_size": v.size(s.proxy_body_size),
        "connect_timeout": v.duration(s.proxy_connect_timeout),
        "read_timeout": v.duration(s.proxy_read_timeout),
        "send_timeout": v.duration(s.proxy_send_timeout),
        "proxy_buffering": v.words(s.proxy_buffering),
        "proxy_request_buffering": v.words(s.proxy_request_buffering),
        "proxy_buffer_size": v.size(s.proxy_buffer_size),
        "proxy_buffers_number": v.integer(s.proxy_buffers_number),
        "next_upstream": v.words(s.proxy_next_upstream),
        "next_upstream_timeout": v.duration(s.proxy_next_upstream_timeout),
        "next_upstream_tries": v.integer(s.proxy_next_upstream_tries),
    }


def _gzip(s: Settings) -> dict[str, Any]:
    types = [v.mime(item) for item in s.gzip_types if item != "text/html"]  # nginx always compresses it and warns
    return {"level": v.integer(s.gzip_level), "min_length": v.integer(s.gzip_min_length), "types": types}


def _hsts(s: Settings) -> str:
    parts = [f"max-age={s.hsts_max_age}"]
    parts += ["includeSubDomains"] if s.hsts_include_subdomains else []
    parts += ["preload"] if s.hsts_preload else []
    return "; ".join(parts)


def _real_ip_header(s: Settings) -> v.Typed | None:
    if s.use_proxy_protocol:
        return v.words("proxy_protocol")
    if s.use_forwarded_headers or s.enable_real_ip:
        return v.words(s.forwarded_for_header)
    return None


def _trusted(s: Settings) -> list[str]:
    networks = list(dict.fromkeys(s.proxy_real_ip_cidr))
    if "0.0.0.0/0" in networks and "::/0" not in networks:
        networks.append("::/0")  # the default means everybody, whatever the protocol
    return networks


def _upstreams(plan: Plan) -> dict[str, Any]:
    s = plan.settings
    keepalive = {
        "connections": v.integer(s.upstream_keepalive_connections),
        "timeout": v.duration(s.upstream_keepalive_timeout),
        "requests": v.integer(s.upstream_keepalive_requests),
        "time": v.duration(s.upstream_keepalive_time),
    }
    items = [
        {"name": _upstream_name(item.id), "servers": [v.address(e.address, e.port) for e in item.endpoints]}
        for item in plan.upstreams
    ]
    return {"upstreams": items, "keepalive": keepalive if s.upstream_keepalive_connections else None}


def _server(plan: Plan, server: Server) -> tuple[bytes, tuple[tuple[int, str], ...]]:
    """Print one host; the second value says from which line on each owner's text stands."""
    pieces = [_print("server.conf.j2", _head(plan, server))]
    owners = [(1, server.tls_owner)]
    line = 1 + pieces[0].count(b"\n")
    for exact, path, route in _locations(server):
        text = _print("location.conf.j2", _location(plan, exact, path, route))
        owners.append((line, route.owner))
        pieces.append(text)
        line += text.count(b"\n")
    return b"".join([*pieces, b"}\n"]), tuple(owners)


def _head(plan: Plan, server: Server) -> dict[str, Any]:
    s, machine = plan.settings, plan.machine
    families = ["", "[::]:"] if machine.ipv6 else [""]
    ports = ((machine.http_port, False), (machine.https_port, True))
    listens = [
        {"address": v.Typed(f"{family}{v.integer(port)}"), "tls": tls} for port, tls in ports for family in families
    ]
    return {
        "listens": listens,
        "http2_parameter": s.use_http2 and machine.nginx_version < _HTTP2_DIRECTIVE_SINCE,
        "proxy_protocol": s.use_proxy_protocol,
        "default": not server.host,
        "name": v.server_name(server.host) if server.host else v.words("_"),
        "certificate": v.file(f"certs/{server.certificate}.pem") if server.certificate else None,
        "reject_handshake": s.ssl_reject_handshake and not server.host,
        "hsts": s.hsts and server.tls,
    }


def _locations(server: Server) -> Iterator[tuple[bool, str, Route]]:
    """A prefix is two locations, the path itself and what lies below it, so that /a never means /ab."""
    exact_paths = {route.path for route in server.routes if route.exact}
    taken = exact_paths | {route.path for route in server.routes}
    for route in server.routes:
        if route.exact:
            yield True, route.path, route
            bare = route.path.rstrip("/")
            if bare != route.path and bare and bare not in taken:
                yield True, bare, _prefix_for(bare, server.routes)  # or nginx redirects it to the one with the slash
        elif route.path == "/":
            yield False, "/", route
        else:
            if route.path not in exact_paths:
                yield True, route.path, route
            yield False, route.path + "/", route


def _prefix_for(path: str, routes: Iterable[Route]) -> Route:
    """Return the prefix route that a path belongs to; `/` is always there."""
    prefixes = [route for route in routes if not route.exact and (path + "/").startswith(route.path.rstrip("/") + "/")]
    return max(prefixes, key=lambda route: len(route.path))


def _location(plan: Plan, exact: bool, path: str, route: Route) -> dict[str, Any]:  # noqa: FBT001
    s, profile = route.settings, route.profile
    return {
        "exact": exact,
        "path": v.quoted(path),
        "sets": _log_variables(plan.settings.log_format_upstream, route),
        "redirect": v.integer(plan.settings.http_redirect_code) if s.tls_redirect else None,
        "body_size": v.size(profile.body_size) if profile.body_size is not None else None,
        "connect_timeout": v.duration(s.connect_timeout) if s.connect_timeout else None,
        "read_timeout": v.duration(s.read_timeout) if s.read_timeout else None,
        "send_timeout": v.duration(s.send_timeout) if s.send_timeout else None,
        "upstream_host": v.quoted(s.upstream_host) if s.upstream_host else None,
        "upstream_tls": profile.protocol == "https",
        "upstream": _upstream_name(route.upstream) if route.upstream else None,
        "status": v.integer(route.status),
    }


def _log_variables(log_format: str, route: Route) -> list[dict[str, v.Typed]]:
    """Set only the variables that the log format prints: each one costs every request."""
    values = _label_values(route.labels) | {"location_path": route.path}
    return [{"name": v.variable(name), "value": v.quoted(values[name])} for name in _used_variables(log_format)]


def _label_values(labels: Labels) -> dict[str, str]:
    return {
        "namespace": labels.namespace,
        "ingress_name": labels.ingress,
        "service_name": labels.service,
        "service_port": labels.port,
        "proxy_upstream_name": labels.upstream_name,
    }


@functools.lru_cache(maxsize=4)
def _used_variables(log_format: str) -> tuple[str, ...]:
    names = set(re.findall(r"\$\{?(\w+)", log_format))
    return tuple(name for name in _LOCATION_VARIABLES if name in names)


def _upstream_name(identity: str) -> v.Typed:
    return v.ident(f"u_{identity}")


def _power_of_two(number: int) -> int:
    return 1 << max(number - 1, 1).bit_length()


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        finalize=v.only_typed,
        autoescape=False,  # noqa: S701  (nginx text, not HTML: only_typed is its guard)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _print(template: str, context: Mapping[str, Any]) -> bytes:
    return _environment().get_template(template).render(context).encode()
