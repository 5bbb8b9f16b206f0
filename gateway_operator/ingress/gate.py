"""Known holes of nginx's core and what the running version has of them, so that nobody serves with one unknowingly.

Distributions mend old versions with new revisions, so the package's revision counts beside nginx's own number. The
revisions in the table are those whose changelog names the fix; where none is known, the hole counts as open.
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
        "CVE-2026-42533",
        "map with regular expressions beside captures; critical",
        (0, 9, 6),
        ((1, 30, 4), (1, 31, 3)),
        {12: 10},  # for Debian 13 no update was known when this was written
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
