"""Known holes of nginx's core and what the running version has of them, so that nobody serves with one unknowingly.

Only what a gateway of ours can meet is in the table: no mail, QUIC, alias, SSI, slice, resolver or client certificates
of streams. Versions come from upstream's advisories and the CVE records. Distributions mend old versions with new
revisions, so the package's revision counts beside nginx's own number: it is the one whose changelog names the fix;
where none is known, the hole counts as open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway_operator.ingress.problems import Problem, Ref

Version = tuple[int, ...]


@dataclass(frozen=True)
class Hole:
    """One hole: vulnerable from `since` on, mended at the end of each release line in `fixed` and in all later lines.

    `debian` has, by Debian release, the first update of the package with the fix. `concerns` says what it needs.
    """

    name: str
    concerns: str
    since: Version
    fixed: tuple[Version, ...]
    debian: dict[int, int] = field(default_factory=dict, hash=False)


HOLES = (
    Hole(
        "CVE-2026-123007",
        "memory corrupted by flow control of HTTP/2; critical",
        (1, 9, 5),
        ((1, 30, 7), (1, 31, 9)),
        {12: 11, 13: 11},
    ),
    Hole(
        "CVE-2026-123633",
        "connections of HTTP/2 used after they were freed",
        (1, 19, 7),
        ((1, 30, 7), (1, 31, 9)),
        {12: 11, 13: 11},
    ),
    Hole(
        "CVE-2026-118899",
        "workers caught in a loop by request bodies over TLS 1.3; critical",
        (1, 13, 0),
        ((1, 30, 7), (1, 31, 9)),
        {12: 11, 13: 11},
    ),
    Hole(
        "CVE-2026-123640",
        "ClientHello read beyond its end, with --enable-ssl-passthrough",
        (1, 15, 2),
        ((1, 30, 7), (1, 31, 9)),
        {12: 11, 13: 11},
    ),
    Hole(
        "CVE-2026-93479",
        "texts with variables, as access logs have, written beyond their memory",
        (1, 22, 1),  # the CVE's record begins with 1.30.0, but Debian mended this one, too
        ((1, 30, 6), (1, 31, 7)),
        {12: 11, 13: 10},
    ),
    Hole(
        "CVE-2026-97629",
        "sessions forged with ssl-session-tickets: a key that nobody set",
        (1, 23, 3),
        ((1, 30, 6), (1, 31, 7)),
        {13: 10},
    ),
    Hole(
        "CVE-2026-42533",
        "map with regular expressions beside captures; critical",
        (0, 9, 6),
        ((1, 30, 4), (1, 31, 3)),
        {12: 10, 13: 8},
    ),
    Hole(
        "CVE-2026-9256",
        "rewrite with overlapping captures; critical",
        (0, 1, 17),
        ((1, 30, 2), (1, 31, 1)),
        {12: 8, 13: 6},
    ),
    Hole(
        "CVE-2026-42945",
        "rewrite with captures and ? in its replacement; critical",
        (0, 6, 27),
        ((1, 30, 1), (1, 31, 0)),
        {12: 7, 13: 5},
    ),
    Hole(
        "CVE-2026-42055",
        "gRPC backends with ignore-invalid-headers false and large-client-header-buffers far above its default",
        (1, 13, 10),
        ((1, 30, 3), (1, 31, 2)),
        {12: 9, 13: 7},
    ),
    Hole(
        "CVE-2026-1642",
        "plain text injected into answers of TLS backends",
        (1, 3, 0),
        ((1, 28, 2), (1, 29, 5)),
        {12: 4, 13: 2},
    ),
    Hole(
        "CVE-2025-23419",
        "client certificates bypassed by session reuse between hosts",
        (1, 11, 4),
        ((1, 26, 3), (1, 27, 4)),
        {12: 1},
    ),
)


def open_holes(version: Version, package: str = "") -> tuple[Hole, ...]:
    """Return the holes of an nginx; `package` is its distribution's version (1.26.3-3+deb13u7), "" where unknown."""
    if version <= (0,):
        return ()
    return tuple(hole for hole in HOLES if _is_open(hole, version, package))


def _is_open(hole: Hole, version: Version, package: str) -> bool:
    if version < hole.since:
        return False
    if any(version[:2] == fixed[:2] and version >= fixed for fixed in hole.fixed):
        return False
    if version[:2] > max(hole.fixed)[:2]:
        return False
    update = re.search(r"\+deb(\d+)u(\d+)$", package)
    return not (update and int(update[2]) >= hole.debian.get(int(update[1]), 1 << 30))


def problem_of(ref: Ref, holes: tuple[Hole, ...]) -> Problem:
    """Return what the gateway's ConfigMap is told."""
    names = "; ".join(f"{hole.name} ({hole.concerns})" for hole in holes)
    message = f"nginx has known holes, update the gateway's image: {names}"
    return Problem(ref, "NginxKnownHoles", "", message)
