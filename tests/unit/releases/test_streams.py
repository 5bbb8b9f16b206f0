"""Streams of rows: whatever ends one, nothing of it is left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway_operator.kube import Resource
from gateway_operator.releases.rows import Row
from gateway_operator.releases.streams import Streams
from gateway_operator.releases.watches import load_watches

DISCOVERY = {"_read_old_api", "_read_new_apis"}  # kopf itself forgets them; they end with the thread


@pytest.mark.parametrize("turns", range(6))
async def test_a_stream_that_is_cancelled_leaves_no_task(tmp_path: Path, chart: Path, turns: int) -> None:
    """Kopf hands its tasks over after a turn of the loop: cancelled before, during or after it, all of them end."""
    file = tmp_path / "watches.yaml"
    file.write_text(f"- {{group: shop.example.com, version: v1, kind: Web, chart: {chart}}}\n")
    row = Row(load_watches(file, {})[0], lambda *_: None)

    async def login(_heard: Any) -> Any:
        await asyncio.Event().wait()

    api: Any = SimpleNamespace()
    streams = Streams(api, login=login, watches=(), on_event=lambda *_: None)
    before = asyncio.all_tasks()
    resource = Resource("shop.example.com", "v1", "Web", "webs", namespaced=True)
    stream = asyncio.create_task(streams._stream(row, resource, asyncio.get_running_loop()))
    for _ in range(turns):
        await asyncio.sleep(0)
    stream.cancel()
    await asyncio.wait({stream}, timeout=30)
    assert stream.cancelled()
    left = asyncio.all_tasks() - before
    assert {task.get_coro().__name__ for task in left} <= DISCOVERY
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    streams._thread._loop.close()
