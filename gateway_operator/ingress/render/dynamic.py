"""The dynamic renderer: text that only profiles and settings change, and everything else as data for a running nginx.

One server takes all hosts; our Lua (ingress/lua) finds the route of a request in the data, and nginx's own location
search then meets the location of the route's profile. See docs/spec/dynamic.md.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from gateway_operator.ingress.plan import Plan, Server
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.common import Rendered, http_context, print_template, version_file
from gateway_operator.ingress.render.dynamic_data import (
    HostEntry,
    dump,
    host_entry,
    pair_entry,
    seconds,
    upstream_entry,
)
from gateway_operator.ingress.render.dynamic_locations import HOST, lua, lua_block, place_text, pool_text, shared_pools
from gateway_operator.ingress.render.dynamic_places import Place
from gateway_operator.ingress.render.headers import request_headers
from gateway_operator.ingress.render.http_level import is_blocking
from gateway_operator.ingress.render.static import listens
from gateway_operator.ingress.render.stream import stream_text
from gateway_operator.ingress.render.text import block, directive, entry, when, word

__all__ = ["Cache", "Rendered", "render", "unsupported", "version_file"]

_LOG_VARIABLES = (
    "namespace", "ingress_name", "service_name", "service_port", "location_path", "proxy_upstream_name",
)  # fmt: skip
# Variables that our Lua writes; a map declares each, since a `set` would blank it again.
_WRITTEN = (
    "gw_uri", "gw_vhost", "gw_path", "gw_host", "gw_escaped", "gw_realm", "gw_passwords", "gw_error_upstream",
    "gw_stash", "gw_namespace", "gw_ingress", "gw_service", "gw_port",
)  # fmt: skip
_SHARED = ("lua/5.1", "luajit-2.1")  # where Debian has the Lua files of others
_ARCH = "x86_64-linux-gnu"
T = TypeVar("T")


class Cache:
    """Keeps what was made of a server, an upstream or a certificate, so that a rendering costs what has changed.

    Values are kept by key as long as each rendering asks for them, and made again when their source isn't equal to the
    one before; the planner hands out the same objects for what didn't change, so comparing costs next to nothing.
    """

    def __init__(self) -> None:
        self._old: dict[str, tuple[Any, Any]] = {}
        self._new: dict[str, tuple[Any, Any]] = {}

    def begin(self) -> None:
        """Start a rendering: what the last one didn't ask for is forgotten."""
        self._old, self._new = self._new, {}

    def get(self, key: str, source: object, make: Callable[[], T]) -> T:
        """Return what was made of an equal source, or make it."""
        known = self._old.get(key)
        if known is None or (known[0] is not source and known[0] != source):
            known = (source, make())
        self._new[key] = known
        found: T = known[1]
        return found


def render(plan: Plan, cache: Cache | None = None) -> Rendered:
    """Print the plan; a cache that is passed again makes the next rendering cheap."""
    cache = cache or Cache()
    cache.begin()
    refused = _with_revocation(plan)
    entries = {server.id: _entry(cache, server, refused) for server in plan.servers}
    owned: dict[str, tuple[Place, str]] = {}
    for found in entries.values():
        for identity, item in found.places.items():
            owned.setdefault(identity, item)
    places = [owned[identity][0] for identity in sorted(owned)]
    data, needs = _data(plan, cache, entries)
    files = _files(plan, places, entries)
    owners = {name: ((1, owner),) for place, owner in owned.values() for name in (place.file, place.pool_file)}
    return Rendered(files, owners, data, needs)


def unsupported(plan: Plan) -> list[tuple[str, str]]:
    """Return the owner's id and the feature, with what holds instead, for everything that is left out; sorted."""
    refused = _with_revocation(plan)
    text = "auth-tls-secret with ca.crl: revocation lists can't be checked, so every request of the host is refused"
    found = {(server.tls_owner, text) for server in plan.servers if _refuses(server, refused)}
    return sorted(found)


def _with_revocation(plan: Plan) -> frozenset[str]:
    return frozenset(item.id for item in plan.authorities if b"X509 CRL" in item.pem)


def _refuses(server: Server, refused: frozenset[str]) -> bool:
    return server.client_auth is not None and server.client_auth.authority in refused


def _entry(cache: Cache, server: Server, refused: frozenset[str]) -> HostEntry:
    refuse = _refuses(server, refused)
    return cache.get(f"h:{server.host}", (server, refuse), lambda: host_entry(server, refuse_clients=refuse))


# --- data


def _data(
    plan: Plan, cache: Cache, entries: Mapping[str, HostEntry]
) -> tuple[dict[str, bytes], dict[str, frozenset[str]]]:
    tls = frozenset().union(*(item.tls_upstreams for item in entries.values()))
    data: dict[str, bytes] = {}
    for upstream in plan.upstreams:
        secure = upstream.id in tls
        data[f"u:{upstream.id}"] = cache.get(
            f"u:{upstream.id}", (upstream, secure), functools.partial(upstream_entry, upstream, tls=secure)
        )
    data |= {f"c:{item.id}": pair_entry(item) for item in plan.certificates}
    data |= {f"a:{item.id}": item.pem for item in plan.authorities}
    data["hc"] = dump([item.id for item in plan.upstreams if item.balancing.health_check])
    needs: dict[str, frozenset[str]] = {}
    for server in plan.servers:
        found = entries[server.id]
        for name in (server.host, *server.aliases):
            data[f"h:{name}"] = found.text
            needs[f"h:{name}"] = found.files
    return data, needs


# --- files


def _files(plan: Plan, places: Sequence[Place], entries: Mapping[str, HostEntry]) -> dict[str, bytes]:
    files = {f"passwords/{item.id}": item.lines for item in plan.password_files}
    pairs = {plan.default_certificate} | {place.profile.tls.pair for place in places if place.profile.tls}
    authorities = {place.profile.tls.authority for place in places if place.profile.tls}
    files |= {f"certs/{item.id}.pem": item.pem for item in plan.certificates if item.id in pairs}
    files |= {f"ca/{item.id}.pem": item.pem for item in plan.authorities if item.id in authorities}
    for place in places:
        files[place.file] = place_text(plan.settings, place)
        files[place.pool_file] = pool_text(plan.settings, place)
    stream = stream_text(plan)
    if stream:
        files["stream.conf"] = stream
    observed = any(item.observed for item in entries.values())
    common = http_context(plan)
    context = common | _context(plan, places, observed=observed) | {"stream": bool(stream)}
    context["modules"] = [*common["modules"], *_modules(plan)]
    files["nginx.conf"] = print_template("dynamic/nginx.conf.j2", context)
    return files


def _context(plan: Plan, places: Sequence[Place], *, observed: bool) -> dict[str, Any]:
    s, machine = plan.settings, plan.machine
    observe = plan.metrics or observed or any(_measures(item.balancing) for item in plan.upstreams)
    root = machine.modules.removesuffix("/usr/lib/nginx/modules")  # of a Debian that isn't this system's own
    return {
        "names_hash_max": v.integer(s.server_name_hash_max_size),
        "names_hash_bucket": v.integer(max(s.server_name_hash_bucket_size, 64)),
        "request_headers": request_headers(s, host=HOST),
        "lua_path": _search([machine.lua, *(f"{root}/usr/share/{item}" for item in _SHARED if root)], "lua"),
        "lua_cpath": _search([f"{root}/usr/lib/{_ARCH}/lua/5.1"], "so") if root else None,
        "data_size": v.integer(machine.data_size),
        "data_socket": _path(f"{machine.run_dir}/data.sock"),
        "settings": _settings_literal(plan, places, observe=observe),
        "variables": _declared(tuple(_variables(places))),
        "pools": shared_pools(s),
        "listens": list(listens(plan, default=True)),
        "blocked": when(word("$blocked"), directive("return", v.integer(403))) if is_blocking(s) else None,
        "router": lua_block("server_rewrite", lua("router", "route")),
        "handshake": lua_block("ssl_certificate", lua("handshake", "run")),
        "log": lua_block("log", lua("log", "run")) if observe else None,
        "metrics": plan.metrics,
    }


def _modules(plan: Plan) -> list[v.Typed]:
    return [v.module(plan.machine.modules, name) for name in ("ndk_http_module", "ngx_http_lua_module")]


def _measures(balancing: Any) -> bool:
    return bool(balancing.algorithm in {"least_conn", "ewma"} or balancing.max_fails)


def _variables(places: Sequence[Place]) -> Iterator[str]:
    yield from _LOG_VARIABLES
    yield from _WRITTEN
    answers = [len(place.profile.external_auth.response_headers) for place in places if place.profile.external_auth]
    if answers:
        yield "gw_auth_cookie"
    yield from (f"gw_answer_{i}" for i in range(max(answers, default=0)))


def _declared(names: tuple[str, ...]) -> list[v.Typed]:
    """Declare variables that Lua writes; it can do so only with those that something refers to, so a map does."""
    variables = [v.Typed(f"${v.variable(name)}") for name in names]
    nothing = [entry(word("default"), v.literal(""))]
    return [
        *(block("map", [v.literal(""), variable], nothing) for variable in variables),
        block("map", [v.joined(*variables), word("$gw_written")], nothing),
    ]


def _settings_literal(plan: Plan, places: Sequence[Place], *, observe: bool) -> v.Typed:
    """Return what lua/config.lua holds, as JSON in a long string of Lua; there is no text of users in it."""
    s = plan.settings
    hsts = f"max-age={s.hsts_max_age}" + ("; includeSubDomains" if s.hsts_include_subdomains else "")
    used = set(re.findall(r"\$\{?(\w+)", s.log_format_upstream))
    values = {
        "log": [name for name in _LOG_VARIABLES if name in used],
        "redirect_code": s.http_redirect_code,
        "keep": seconds(s.upstream_keepalive_timeout) if s.upstream_keepalive_connections else None,
        "keep_requests": s.upstream_keepalive_requests,
        "hsts": hsts + ("; preload" if s.hsts_preload else "") if s.hsts else None,
        "forwarded": s.use_forwarded_headers,
        "rate_status": s.limit_req_status_code,
        "connection_status": s.limit_conn_status_code,
        "reject_handshake": s.ssl_reject_handshake,
        "tries": s.proxy_next_upstream_tries,
        "metrics": plan.metrics,
        "observe": observe,
        "snapshot": f"{plan.machine.run_dir}/data.snapshot",
        "profiles": {place.id: True for place in places},
    }
    text = json.dumps({key: value for key, value in values.items() if value is not None}, sort_keys=True)
    if "]==]" in text or not text.isascii():
        raise v.UnsafeValueError("settings that Lua can't hold")
    return v.Typed(f"[==[{text}]==]")


def _search(folders: list[str], suffix: str) -> v.Typed:
    return v.Typed('"' + "".join(f"{_path(folder)}/?.{suffix};" for folder in folders) + ';"')


def _path(text: str) -> v.Typed:
    if not re.fullmatch(r"/[A-Za-z0-9_./+-]+", text):
        raise v.UnsafeValueError("no plain absolute path")
    return v.Typed(text)
