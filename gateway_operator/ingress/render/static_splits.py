"""Splits over clusters in the static renderer: a letter for each cluster, chosen by `split_clients`, then maps of it.

One `split_clients` serves all paths with the same shares and the same key. No location exists for a cluster, so clients
can't ask for one by its path, and the URI goes to the backend as the client wrote it. What a cluster fails to take is
handed to another one by a named location: what can't have been sent, and what may be sent twice.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway_operator.ingress.plan import Route, Split, SplitPart, stable_id
from gateway_operator.ingress.policies import Affinity
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.headers import Header
from gateway_operator.ingress.render.profiles import family
from gateway_operator.ingress.render.static_shared import Shared, has_variable
from gateway_operator.ingress.render.text import block, directive, entry, equals, when, word

LETTERS = string.ascii_letters
RETRY_AFTER = 5  # s
_UNAVAILABLE = 503
_TWICE = "^(GET|HEAD|PUT|DELETE|OPTIONS|TRACE|PROPFIND|COPY|MOVE|MKCOL) "
_UNSENT = " 0$"
_DEFAULT = word("default")


@dataclass(frozen=True)
class Chosen:
    """The names of a split's variables: the letter, where it leads to, and where requests go that it fails to take."""

    letter: v.Typed
    target: v.Typed
    spare: v.Typed | None
    headers: tuple[Header, ...]
    lines: tuple[v.Typed, ...]
    spare_lines: tuple[v.Typed, ...]


def choose(shared: Shared, route: Route) -> Chosen | None:
    """Return the variables of a route's split; None where nobody takes any request."""
    split = shared.splits[route.split or ""]
    parts = sorted(split.parts, key=lambda part: not part.share)  # stable: by name, those with a share first
    if not parts:
        return None
    lettered = list(zip(LETTERS, parts, strict=False))
    drawn = _drawn(shared, split, lettered)
    bound = _bound(shared, split, lettered) if split.cookie else None
    letter = _first(shared, bound, drawn) if bound else drawn
    targets = [(letter_, shared.pool(part.upstream)) for letter_, part in lettered if part.upstream]
    target = _map(shared, "target", letter, targets)
    headers: list[Header] = [("Retry-After", _late(shared, target))] if any(not p.upstream for p in parts) else []
    if bound:
        headers.append(("Set-Cookie", _new_cookie(shared, split, route, bound, drawn, lettered)))
    spare = _spare(shared, split, letter, lettered) if not route.profile.intercept_errors else None
    nobody = [when(equals(target.text, v.literal("")), directive("return", v.integer(_UNAVAILABLE)))]
    return Chosen(
        letter,
        target,
        spare,
        tuple(headers),
        (*(nobody if headers and headers[0][0] == "Retry-After" else ()), *_log(shared, letter, lettered)),
        tuple(_log_spare(shared, split, letter, lettered)),
    )


def retry_after(shared: Shared, route: Route) -> list[Header]:
    """Return the header of an answer for which nobody is there."""
    split = shared.splits.get(route.split or "")
    return [("Retry-After", v.integer(RETRY_AFTER))] if split and split.retry_after and not split.parts else []


def hand_over(route: Route, chosen: Chosen) -> list[v.Typed]:
    """Return what makes a location hand over what a cluster fails to take; it is tried there once."""
    if chosen.spare is None:
        return []
    page = directive("error_page", word("502 504 ="), _name(route))
    return [directive(f"{family(route.profile)}_next_upstream_tries", v.integer(1)), page]


def spare_location(shared: Shared, route: Route, chosen: Chosen, body: Sequence[v.Typed]) -> Iterator[v.Typed]:
    """Yield the location that hands requests to another cluster, unless that could repeat what must not be."""
    if chosen.spare is None:
        return
    name = word("$gateway_repeatable")
    rows = [
        entry(_DEFAULT, v.literal("")),
        entry(v.regex(_TWICE, prefix="~"), word("1")),
        entry(v.regex(_UNSENT, prefix="~"), word("1")),
    ]
    said = v.joined(word("$request_method $upstream_bytes_sent"))
    shared.once("repeatable", lambda: [block("map", [said, name], rows)])
    refused = when(equals("$gateway_repeatable", v.literal("")), directive("return", v.integer(502)))
    yield block("location", [_name(route)], [refused, *chosen.spare_lines, *body])


def _name(route: Route) -> v.Typed:
    return word(f"@split_{stable_id('spare', route.split or '')}")


def _drawn(shared: Shared, split: Split, lettered: Sequence[tuple[str, SplitPart]]) -> v.Typed:
    """Return the variable with the letter that the shares give."""
    key = _key(shared, split)
    some = [(letter, part.share) for letter, part in lettered if part.share]
    rows = [entry(word(f"{share // 100}.{share % 100:02}%"), word(letter)) for letter, share in some[:-1]]
    rows.append(entry(word("*"), word(some[-1][0])))  # or requests past the last threshold would have no cluster
    name = word(f"$clusters_{stable_id('clusters', str(key), *map(str, rows))}")
    shared.once(f"clusters {name}", lambda: [block("split_clients", [v.joined(key), name], rows)])
    return name


def _key(shared: Shared, split: Split) -> v.Typed:
    """Return the variable that decides; a request without the header or cookie is split by itself."""
    if split.key == "client":
        return word("$remote_addr")
    if split.key == "header":
        source = v.request_header(split.key_name)
    elif split.key == "cookie":
        source = _cookie(shared, split.key_name)
    else:
        return word("$request_id")
    name = word(f"$split_key_{stable_id('key', split.key, split.key_name)}")
    rows = [entry(_DEFAULT, source), entry(v.literal(""), word("$request_id"))]
    shared.once(f"key {name}", lambda: [block("map", [source, name], rows)])
    return name


def _cookie(shared: Shared, cookie: str) -> v.Typed:
    if has_variable(cookie):
        return v.cookie(cookie)
    identity = stable_id("cookie", cookie)
    name = word(f"$split_cookie_{identity}")
    pattern = rf"(?:^|;\s*){v.exactly(cookie)}=(?<split_value_{identity}>[^;]*)"
    rows = [entry(_DEFAULT, v.literal("")), entry(v.regex(pattern, prefix="~*"), word(f"$split_value_{identity}"))]
    shared.once(f"split cookie {name}", lambda: [block("map", [word("$http_cookie"), name], rows)])
    return name


def _map(shared: Shared, kind: str, source: v.Typed, rows: Sequence[tuple[str, v.Typed]]) -> v.Typed:
    """Return a variable that follows from the letter; empty for letters without a row."""
    lines = [entry(_DEFAULT, v.literal("")), *(entry(word(letter), value) for letter, value in rows)]
    name = word(f"$split_{kind}_{stable_id(kind, str(source), *map(str, lines))}")
    shared.once(f"split {kind} {name}", lambda: [block("map", [source, name], lines)])
    return name


def _late(shared: Shared, target: v.Typed) -> v.Typed:
    name = word(f"$split_late_{stable_id('late', str(target))}")
    rows = [entry(_DEFAULT, v.literal("")), entry(v.literal(""), v.integer(RETRY_AFTER))]
    shared.once(f"split late {name}", lambda: [block("map", [target, name], rows)])
    return name


def _spare(shared: Shared, split: Split, letter: v.Typed, lettered: Sequence[tuple[str, SplitPart]]) -> v.Typed | None:
    rows = [(a, shared.pool(part.upstream or "")) for a, part in _spares(split, lettered)]
    return _map(shared, "spare", letter, rows) if rows else None


def _spares(split: Split, lettered: Sequence[tuple[str, SplitPart]]) -> list[tuple[str, SplitPart]]:
    """Return for each letter the cluster that takes over."""
    by_name = {part.cluster: part for part in split.parts}
    found = []
    for letter, part in lettered:
        other = next((name for name in split.spare if name != part.cluster), None)
        if other and part.upstream:
            found.append((letter, by_name[other]))
    return found


# --- clients that stay


def _bound(shared: Shared, split: Split, lettered: Sequence[tuple[str, SplitPart]]) -> v.Typed:
    """Return the variable with the letter that a client's cookie names; empty without one that can be honoured."""
    pattern = rf"(?:^|;\s*){v.exactly(split.cookie or '')}=%s\s*(?:;|$)"
    rows = [entry(v.regex(pattern % part.tag, prefix="~"), word(a)) for a, part in lettered if part.upstream]
    lines = [entry(_DEFAULT, v.literal("")), *rows]
    name = word(f"$split_bound_{stable_id('bound', *map(str, lines))}")
    shared.once(f"split bound {name}", lambda: [block("map", [word("$http_cookie"), name], lines)])
    return name


def _first(shared: Shared, bound: v.Typed, drawn: v.Typed) -> v.Typed:
    name = word(f"$split_letter_{stable_id('letter', str(bound), str(drawn))}")
    rows = [entry(_DEFAULT, bound), entry(v.literal(""), drawn)]
    shared.once(f"split letter {name}", lambda: [block("map", [bound, name], rows)])
    return name


def _new_cookie(
    shared: Shared,
    split: Split,
    route: Route,
    bound: v.Typed,
    drawn: v.Typed,
    lettered: Sequence[tuple[str, SplitPart]],
) -> v.Typed:
    """Return the variable with the Set-Cookie of a client that isn't bound yet."""
    cookie = split.cookie or ""
    path = "/" if route.regex else route.path
    tail = shared.attributes(Affinity(cookie=cookie, max_age=split.max_age or None), path)
    made = [(a, v.joined(v.literal(f"{cookie}={part.tag}"), *tail)) for a, part in lettered if part.upstream]
    value = _map(shared, "cookie", drawn, made)
    name = word(f"$split_new_{stable_id('new', str(bound), str(value))}")
    rows = [entry(_DEFAULT, v.literal("")), entry(v.literal(""), value)]
    shared.once(f"split new {name}", lambda: [block("map", [bound, name], rows)])
    return name


# --- the log


def _log(shared: Shared, letter: v.Typed, lettered: Sequence[tuple[str, SplitPart]]) -> list[v.Typed]:
    if "$gateway_cluster" not in shared.plan.settings.log_format_upstream.replace("{", ""):
        return []
    name = _map(shared, "name", letter, [(a, v.label(part.cluster)) for a, part in lettered if part.upstream])
    return [directive("set", word("$gateway_cluster"), name)]


def _log_spare(
    shared: Shared, split: Split, letter: v.Typed, lettered: Sequence[tuple[str, SplitPart]]
) -> list[v.Typed]:
    return _log(shared, letter, _spares(split, lettered))
