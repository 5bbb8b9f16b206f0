"""The dynamic renderer: text that only profiles and settings change, and everything else as data for a running nginx.

Two servers, without TLS and with it, take all hosts; our Lua (ingress/lua) finds a request's route in the data, and
nginx's own location search then meets the location of the route's profile. See docs/spec/dynamic.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from gateway_operator.ingress.plan import Plan
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.common import Rendered, http_context, print_template, version_file
from gateway_operator.ingress.render.dynamic_data import seconds
from gateway_operator.ingress.render.dynamic_kept import Cache, Outline, refuses, with_revocation
from gateway_operator.ingress.render.dynamic_locations import (
    ASKED,
    REQUEST_ID,
    lua,
    lua_block,
    place_headers,
    place_text,
    plain_location,
    pool_text,
    shared_pools,
)
from gateway_operator.ingress.render.dynamic_places import PLAIN, Place
from gateway_operator.ingress.render.headers import answer_headers, host_of, named_variables
from gateway_operator.ingress.render.http_level import is_blocking
from gateway_operator.ingress.render.static import listens, tls_listens
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


def render(plan: Plan, cache: Cache | None = None) -> Rendered:
    """Print the plan; a cache that is passed again makes the next rendering cheap."""
    cache = cache or Cache()
    cache.take(plan)
    return Rendered(cache.files(plan, _files), cache.owners(), cache.data.now(), cache.needs.now())


def unsupported(plan: Plan) -> list[tuple[str, str]]:
    """Return the owner's id and the feature, with what holds instead, for everything that is left out; sorted."""
    refused = with_revocation(plan)
    if not refused:
        return []
    text = "auth-tls-secret with ca.crl: revocation lists can't be checked, so every request of the host is refused"
    found = {(server.tls_owner, text) for server in plan.servers if refuses(server, refused)}
    return sorted(found)


# --- files


def _files(outline: Outline) -> dict[str, bytes]:
    plan, places = outline.plan, outline.places
    files = {f"passwords/{item.id}": item.lines for item in plan.password_files}
    files |= {f"certs/{item.id}.pem": item.pem for item in plan.certificates}
    files |= {f"ca/{item.id}.pem": item.pem for item in plan.authorities}
    for place in places:
        files[place.file] = place_text(plan.settings, place)
        files[place.pool_file] = pool_text(plan.settings, place)
    stream = stream_text(plan)
    if stream:
        files["stream.conf"] = stream
    common = http_context(plan)
    context = common | _context(plan, places, observed=outline.observed) | {"stream": bool(stream)}
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
        "request_headers": place_headers(s),
        "own_host": host_of(s, ASKED),
        "lua_path": _search([machine.lua, *(f"{root}/usr/share/{item}" for item in _SHARED if root)], "lua"),
        "lua_cpath": _search([f"{root}/usr/lib/{_ARCH}/lua/5.1"], "so") if root else None,
        "data_size": v.integer(machine.data_size),
        "data_socket": _path(f"{machine.run_dir}/data.sock"),
        "settings": _settings_literal(plan, places, observe=observe),
        "variables": _declared(tuple(_variables(places))),
        "pools": shared_pools(s),
        "request_id": word(f"${REQUEST_ID}"),
        "servers": [_server(plan), _tls_server(plan)],
        "blocked": when(word("$blocked"), directive("return", v.integer(403))) if is_blocking(s) else None,
        "log": lua_block("log", lua("log", "run")) if observe else None,
        "metrics": plan.metrics,
        "plain": plain_location(s),
    }


def _server(plan: Plan) -> list[v.Typed]:
    return [*listens(plan, default=True), lua_block("server_rewrite", lua("router", "route"))]


def _tls_server(plan: Plan) -> list[v.Typed]:
    return [
        *tls_listens(plan, default=True),
        lua_block("ssl_certificate", lua("handshake", "run")),
        lua_block("server_rewrite", lua("router", "route_tls")),
        *(answer_headers(plan.settings, strict=True) if plan.settings.hsts else ()),
    ]


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
        block("map", [v.literal(""), word(f"${REQUEST_ID}")], [entry(word("default"), word("$request_id"))]),
        *(block("map", [v.literal(""), variable], nothing) for variable in variables),
        block("map", [v.joined(*variables), word("$gw_written")], nothing),
    ]


def _settings_literal(plan: Plan, places: Sequence[Place], *, observe: bool) -> v.Typed:
    """Return what lua/config.lua holds, as JSON in a long string of Lua; there is no text of users in it."""
    s = plan.settings
    used = named_variables(s)
    values = {
        "log": [name for name in _LOG_VARIABLES if name in used],
        "redirect_code": s.http_redirect_code,
        "keep": seconds(s.upstream_keepalive_timeout) if s.upstream_keepalive_connections else None,
        "keep_requests": s.upstream_keepalive_requests,
        "hsts": True if s.hsts else None,
        # whoever writes nginx's own variable into a log format or a header means the same ID
        "ids": True if s.generate_request_id and "request_id" not in used else None,
        "forwarded": s.use_forwarded_headers,
        "rate_status": s.limit_req_status_code,
        "connection_status": s.limit_conn_status_code,
        "reject_handshake": s.ssl_reject_handshake,
        "tries": s.proxy_next_upstream_tries,
        "metrics": plan.metrics,
        "observe": observe,
        "snapshot": f"{plan.machine.run_dir}/data.snapshot",
        "profiles": {place.id: True for place in places},
        "plain": PLAIN.id,
        "cluster": True if "gateway_cluster" in used else None,
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
