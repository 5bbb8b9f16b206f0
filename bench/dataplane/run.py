"""Runs the parts that were asked for, one after the other, and keeps what each found as soon as it is found.

Programs that come from outside are fetched or built first; then the whole run moves into a network of its own.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.dataplane import ORDER, admission, endpoints, errors, network, scale, throughput, wrk
from bench.dataplane.setup import Peer, Setup, tell
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
        folder = Path(tempfile.mkdtemp(prefix="bench-"))  # short: a socket's path has 108 characters
        folder.chmod(0o755)  # workers run as another user
        begun = time.monotonic()
        tell(f"{part} ...")
        try:
            setup = Setup(renderers, peers, folder, quick=quick, seed=seed)
            results.put(part, asyncio.run(_until_term(PARTS[part](setup))))
        except Exception:  # noqa: BLE001 - the other parts are worth having
            traceback.print_exc()
            tell(f"{part} broke; its files are in {folder}")
            broken.append(part)
            continue
        tell(f"{part} took {time.monotonic() - begun:.0f} s")
        shutil.rmtree(folder, ignore_errors=True)
    return broken


async def _until_term(measuring: Coroutine[Any, Any, Part]) -> Part:
    """Let a signal end a part as an error would: nginx's workers outlive a master that is killed."""
    task, loop = asyncio.ensure_future(measuring), asyncio.get_running_loop()

    def end() -> None:
        loop.add_signal_handler(signal.SIGTERM, lambda: None)  # a second one would break the cleaning up
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    return await task
