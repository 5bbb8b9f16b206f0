"""The lab's locks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.paths import locked


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GATEWAY_LAB_CACHE", str(tmp_path))


def test_nobody_waits_for_a_lock_of_its_own() -> None:
    """Asking again is an error that names the lock, and the lock is free after its first holder."""
    with locked("one"), locked("two"), pytest.raises(LabError, match="lock one"), locked("one"):
        pass
    with locked("one"):
        pass


async def test_other_threads_wait() -> None:
    """Two threads that build the same thing do so one after the other."""
    order: list[str] = []
    first, free = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def build(name: str) -> None:
        with locked("one"):
            order.append(name)
            if name == "a":
                loop.call_soon_threadsafe(first.set)
                asyncio.run_coroutine_threadsafe(free.wait(), loop).result()
            order.append(name)

    builds = [asyncio.create_task(asyncio.to_thread(build, "a"))]
    await first.wait()
    builds.append(asyncio.create_task(asyncio.to_thread(build, "b")))
    free.set()
    await asyncio.gather(*builds)
    assert order == ["a", "a", "b", "b"]
