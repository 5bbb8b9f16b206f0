"""Runs the parts that were asked for, one after the other, and keeps what each found as soon as it is found.

Programs that come from outside are fetched or built first; then the whole run moves into a network of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.dataplane import ORDER, admission, endpoints, errors, network, scale, throughput, wrk
from bench.dataplane.setup import Peer, Setup
from bench.parts import run_part, tell, until_term
from bench.results import Part, Results
from lab import tools
from lab.control import BASE_TOOLS
from lab.debian import require
from lab.nginx import nginx

Measure = Callable[[Setup], Coroutine[Any, Any, Part]]
PARTS: Mapping[str, Measure] = {
    "throughput": throughput.measure,
    "endpoints": endpoints.measure,
    "errors": errors.measure,
    "scale": scale.measure,
    "admission": admission.measure,
}


def run(
    results: Results,
    only: Iterable[str],
    *,
    renderers: tuple[str, ...],
    peers: tuple[Peer, ...],
    quick: bool,
    seed: int,
) -> list[str]:
    """Measure the parts in `only`; returns the names of those that broke."""
    if not peers:
        tell("no peer: name programs by --peer-ingress-nginx and --peer-traefik to measure beside them")
    require({"ip": "iproute2", "sysctl": "procps", "chroot": "coreutils"})
    tools.binaries(BASE_TOOLS)
    nginx()
    wrk.program()
    network.enter()
    broken = []
    for part in sorted(only, key=ORDER.index):

        def measure(folder: Path, part: str = part) -> Coroutine[Any, Any, Part]:
            return PARTS[part](Setup(renderers, peers, folder, quick=quick, seed=seed))

        if not asyncio.run(until_term(run_part(results, part, measure))):
            broken.append(part)
    return broken
