"""What the static renderer shares between hosts: maps, zones and splits of the http level, and upstream blocks.

nginx's start and reload grow faster than the number of zones and variables, so equal things are one thing here: a
limit's zone is one for each rate, a split one for each vector of weights, a map one for each list of origins. Locations
ask for a name and get it; the block behind it is printed once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from gateway_operator.ingress.plan import Plan, Upstream, stable_id
from gateway_operator.ingress.policies import Affinity, Balancing, Profile
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.stream import streamed
from gateway_operator.ingress.render.text import block, directive, entry, word

_NO_SAMESITE_NONE = (  # clients that take SameSite=None for Strict
    r"~i(?:Phone|Pad|Pod).*OS 12_",
    r"~Mac OS X 10_14.*Version/[0-9.]+.* Safari",
    r"~Chrom(?:e|ium)/(?:5[1-9]|6[0-6])\.",
    r"~UCBrowser/(?:[0-9]|1[01]|12\.(?:[0-9]|1[0-2]))\.",
)


class Shared:
    """Collects what locations of one rendering ask for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.upstreams = {item.id: item for item in plan.upstreams}
        self.splits = {item.id: item for item in plan.splits}
        self._blocks: dict[str, tuple[v.Typed, ...]] = {}
        self._variants: dict[str, str] = {}

    def once(self, key: str, make: Callable[[], Iterable[v.Typed]]) -> None:
        """Print something at the http level, once for each key."""
        if key not in self._blocks:
            self._blocks[key] = ()  # what `make` asks for may ask for this again
            self._blocks[key] = tuple(make())

    @property
    def variables(self) -> int:
        """How many variables the http level has at most, beside nginx's own and those of the gateway."""
        return len(self._blocks)

    def text(self) -> bytes:
        """Return the http level's text, in an order that depends on the content only."""
        return "".join(f"{part}\n" for key in sorted(self._blocks) for part in self._blocks[key]).encode()

    def pool(self, upstream: str, variant: str = "") -> v.Typed:
        """Return the name of an upstream block; connections of different kinds never share one."""
        name = upstream if not variant else stable_id(upstream, variant)
        if upstream in self.upstreams:
            self._variants[name] = upstream
        return v.ident(f"u_{name}")

    def upstream_blocks(self) -> bytes:
        """Return all upstream blocks."""
        names = {key: key for key in self.upstreams if key not in streamed(self.plan)} | self._variants
        blocks = [self._upstream(name, self.upstreams[names[name]]) for name in sorted(names)]
        return "".join(f"{item}\n" for item in blocks).encode()

    def _upstream(self, name: str, upstream: Upstream) -> v.Typed:
        s, balancing = self.plan.settings, upstream.balancing
        lines = [*self._method(balancing)]
        tail = [word(f"max_fails={balancing.max_fails}")]
        if balancing.max_fails:
            tail.append(v.Typed(f"fail_timeout={v.seconds(balancing.fail_timeout)}"))
        for item in upstream.endpoints:
            weight = [] if item.weight == 1 else [word(f"weight={item.weight}" if item.weight else "down")]
            lines.append(directive("server", v.address(item.address, item.port), *weight, *tail))
        if s.upstream_keepalive_connections and not upstream.member:  # kept ones would hang where a network is cut
            lines += [
                directive("keepalive", v.integer(s.upstream_keepalive_connections)),
                directive("keepalive_timeout", v.duration(s.upstream_keepalive_timeout)),
                directive("keepalive_requests", v.integer(s.upstream_keepalive_requests)),
                directive("keepalive_time", v.duration(s.upstream_keepalive_time)),
            ]
        return block("upstream", [v.ident(f"u_{name}")], lines)

    def _method(self, balancing: Balancing) -> list[v.Typed]:
        sticky = self.sticky(balancing.affinity)
        if sticky is not None:
            return [directive("hash", sticky, word("consistent"))]
        if balancing.algorithm == "hash" and balancing.hash_by:
            return [directive("hash", v.hash_key(balancing.hash_by), word("consistent"))]
        if balancing.algorithm == "least_conn":
            return [directive("random", word("two least_conn"))]
        return []

    def sticky(self, affinity: Affinity | None) -> v.Typed | None:
        """Return the variable with a client's cookie, or with what its new cookie will be."""
        if affinity is None or not has_variable(affinity.cookie):
            return None
        identity = stable_id("sticky", affinity.cookie)
        cookie = v.cookie(affinity.cookie)
        name = word(f"$sticky_{identity}")
        lines = [entry(word("default"), cookie), entry(v.literal(""), word("$request_id"))]
        self.once(f"sticky {identity}", lambda: [block("map", [cookie, name], lines)])
        return name

    def new_cookie(self, affinity: Affinity, path: str) -> v.Typed | None:
        """Return the variable with the Set-Cookie header that binds a new client; empty for a bound one."""
        sticky = self.sticky(affinity)
        if sticky is None:
            return None
        identity = stable_id("cookie", repr(affinity), path)
        name = word(f"$new_cookie_{identity}")
        value = v.joined(v.ident(affinity.cookie), word("=$request_id"), *self.attributes(affinity, path))
        lines = [entry(word("default"), v.literal("")), entry(v.literal(""), value)]
        self.once(f"cookie {identity}", lambda: [block("map", [v.cookie(affinity.cookie), name], lines)])
        return name

    def attributes(self, affinity: Affinity, path: str) -> list[v.Typed]:
        """Return what stands behind a cookie's value."""
        parts = [v.literal(f"; Path={affinity.path or path}")]
        age = affinity.max_age if affinity.max_age is not None else affinity.expires
        if age is not None:
            parts.append(v.literal(f"; Max-Age={age}"))
        if affinity.domain:
            parts.append(v.literal(f"; Domain={affinity.domain}"))
        if affinity.secure is None:
            parts.append(self._constant("cookie_secure", "$pass_access_scheme", [("https", "; Secure")], ""))
        elif affinity.secure:
            parts.append(v.literal("; Secure"))
        if affinity.samesite == "None" and affinity.conditional_samesite_none:
            refusing = [(pattern, "") for pattern in _NO_SAMESITE_NONE]
            parts.append(self._constant("samesite_none", "$http_user_agent", refusing, "; SameSite=None"))
        elif affinity.samesite:
            parts.append(v.literal(f"; SameSite={affinity.samesite}"))
        return [*parts, v.literal("; HttpOnly")]

    def _constant(self, name: str, source: str, rows: list[tuple[str, str]], default: str) -> v.Typed:
        """Return the variable of a map that is the same in every rendering."""
        lines = [entry(word("default"), v.literal(default)), *(entry(v.quoted(a), v.literal(b)) for a, b in rows)]
        self.once(name, lambda: [block("map", [word(source), word(f"${name}")], lines)])
        return word(f"${name}")


def variant(profile: Profile, host: str) -> str:
    """Return what tells the connections of a profile from others to the same endpoints."""
    if profile.tls is not None and profile.tls.server_name and profile.tls.name is None:
        return repr((profile.protocol, profile.tls, host))
    if profile.tls is not None or profile.protocol.startswith("grpc"):
        return repr((profile.protocol, profile.tls))
    return ""


def has_variable(cookie: str) -> bool:
    """Tell whether nginx has a variable for a cookie of this name."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", cookie, re.ASCII) is not None
