"""Canaries in the static renderer: header, then cookie, then weight, as one map over one short text.

Each alternative is a letter. A map for a header and one for a cookie give an alternative's letter, `-` for "stay" or
nothing, and a split gives the letter that the weights chose; the first letter of all these decides.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from gateway_operator.ingress.plan import Route, stable_id
from gateway_operator.ingress.policies import Canary
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.static_shared import Shared, variant
from gateway_operator.ingress.render.text import block, directive, entry, word

LETTERS = string.ascii_letters
_WHOLE = 10_000  # nginx counts hundredths of a percent


def target(shared: Shared, route: Route, host: str) -> tuple[v.Typed, list[v.Typed]]:
    """Return where a route's requests go (a name or a variable) and the directives that the location needs for it."""
    kind = variant(route.profile, host)
    main = shared.pool(route.upstream or "", kind)
    canaries = [item for item in route.settings.canaries if item.upstream is not None][: len(LETTERS)]
    if not canaries:
        return main, []
    choice = _choice(shared, route, canaries)
    pools = [shared.pool(item.upstream or "", kind) for item in canaries]
    name = word(f"$target_{stable_id('target', str(choice), str(main), *map(str, pools))}")
    rows = [entry(v.regex(f"^{letter}", prefix="~"), pool) for letter, pool in zip(LETTERS, pools, strict=False)]
    shared.once(f"target {name}", lambda: [block("map", [choice, name], [entry(word("default"), main), *rows])])
    return name, _log_line(shared, choice, canaries)


def _choice(shared: Shared, route: Route, canaries: Sequence[Canary]) -> v.Typed:
    parts: list[v.Typed] = []
    for letter, item in zip(LETTERS, canaries, strict=False):
        if item.header:
            parts.append(_header(shared, letter, item))
    for letter, item in zip(LETTERS, canaries, strict=False):
        if item.cookie:
            parts.append(_cookie(shared, letter, item.cookie))
    affinity = shared.upstreams[route.upstream or ""].balancing.affinity
    sticky = shared.sticky(affinity) if affinity is not None and affinity.canary_sticky else None
    split = split_by_weight(shared, canaries, sticky or word("$request_id"))
    return v.joined(*parts, *([split] if split else []), v.literal("-"))


def _header(shared: Shared, letter: str, canary: Canary) -> v.Typed:
    if canary.header_value:
        rows = [entry(v.regex(f"^{v.exactly(canary.header_value)}$", prefix="~"), word(letter))]
    elif canary.header_pattern:
        rows = [entry(v.regex(canary.header_pattern, prefix="~"), word(letter))]
    else:
        rows = [entry(v.regex("^always$", prefix="~"), word(letter)), entry(v.regex("^never$", prefix="~"), word("-"))]
    return _map(shared, v.request_header(canary.header or ""), rows)


def _cookie(shared: Shared, letter: str, cookie: str) -> v.Typed:
    pattern = rf"(?:^|;\s*){v.exactly(cookie)}=%s\s*(?:;|$)"
    rows = [
        entry(v.regex(pattern % "always", prefix="~"), word(letter)),
        entry(v.regex(pattern % "never", prefix="~"), word("-")),
    ]
    return _map(shared, word("$http_cookie"), rows)


def _map(shared: Shared, source: v.Typed, rows: list[v.Typed]) -> v.Typed:
    name = word(f"$canary_{stable_id('canary', str(source), *map(str, rows))}")
    lines = [entry(word("default"), v.literal("")), *rows]
    shared.once(f"canary {name}", lambda: [block("map", [source, name], lines)])
    return name


def split_by_weight(shared: Shared, canaries: Sequence[Canary], key: v.Typed) -> v.Typed | None:
    """Return the variable with the letter that the weights choose; None where nobody has a weight."""
    shares, left = [], _WHOLE
    for letter, item in zip(LETTERS, canaries, strict=False):
        share = min(round(item.weight * _WHOLE / max(item.total, 1)), left)
        left -= share
        if share:
            shares.append((letter, share))
    if not shares:
        return None
    if left:
        shares.append(("-", left))
    *some, (last, _) = shares
    rows = [entry(word(f"{share // 100}.{share % 100:02}%"), word(letter)) for letter, share in some]
    rows.append(entry(word("*"), word(last)))  # an explicit last percentage can miss some hashes
    name = word(f"$split_{stable_id('split', str(key), *map(str, rows))}")
    shared.once(f"split {name}", lambda: [block("split_clients", [v.joined(key), name], rows)])
    return name


def _log_line(shared: Shared, choice: v.Typed, canaries: Sequence[Canary]) -> list[v.Typed]:
    if "$proxy_alternative_upstream_name" not in shared.plan.settings.log_format_upstream.replace("{", ""):
        return []
    rows = [
        entry(v.regex(f"^{letter}", prefix="~"), v.label(item.upstream_name))
        for letter, item in zip(LETTERS, canaries, strict=False)
    ]
    name = word(f"$alternative_{stable_id('alternative', str(choice), *map(str, rows))}")
    lines = [entry(word("default"), v.literal("")), *rows]
    shared.once(f"alternative {name}", lambda: [block("map", [choice, name], lines)])
    return [directive("set", word("$proxy_alternative_upstream_name"), name)]
