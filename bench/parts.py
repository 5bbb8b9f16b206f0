"""Runs one part of a benchmark, because all of them tell, keep and clean up in the same way.

What a part found is kept as soon as it is found; a part that breaks costs only its own rows.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from bench.results import Part, Results
from lab.paths import say


def tell(text: str) -> None:
    """Show how far a run is."""
    say(f"bench: {text}")


async def run_part(results: Results, part: str, measure: Callable[[Path], Awaitable[Part]]) -> bool:
    """Measure a part in a folder of its own, which stays when the part breaks; returns whether it went well."""
    folder = _folder()
    begun = time.monotonic()
    tell(f"{part} ...")
    try:
        results.put(part, await measure(folder))
    except Exception:  # noqa: BLE001 - the other parts are worth having
        traceback.print_exc()
        tell(f"{part} broke; its files are in {folder}")
        return False
    tell(f"{part} took {time.monotonic() - begun:.0f} s")
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="bench-"))  # short: a socket's path has 108 characters
    folder.chmod(0o755)  # workers run as another user
    return folder


async def until_term(running: Coroutine[Any, Any, bool]) -> bool:
    """Let a signal end a part as an error would: nginx's workers outlive a master that is killed."""
    task, loop = asyncio.ensure_future(running), asyncio.get_running_loop()

    def end() -> None:
        loop.add_signal_handler(signal.SIGTERM, lambda: None)  # a second one would break the cleaning up
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    return await task
