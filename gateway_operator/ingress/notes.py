"""Files beside the generations that say who is behind what and who is left out, for `gateway-operator conf`.

nginx never reads them. They follow the controller with a delay, since an index of many hosts costs something to write.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

INDEX = "index.json"
QUARANTINE = "quarantine.json"
WRITE_EVERY = 10.0


class Notes:
    """Writes the newest index and quarantine."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._wanted: dict[str, Any] = {}
        self._written: dict[str, Any] = {}
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()

    def take(self, index: Mapping[str, Any], quarantine: Sequence[Mapping[str, str]]) -> None:
        """Take what holds now (nobody changes it later). Who is left out is written at once, the index when due."""
        if list(quarantine) != self._wanted.get(QUARANTINE):
            self._urgent.set()
        self._wanted = {INDEX: index, QUARANTINE: list(quarantine)}
        self._dirty.set()

    async def keep_writing(self) -> None:
        """Write after changes until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._urgent.clear()
            wanted = self._wanted
            try:
                await asyncio.to_thread(self._write, wanted)
            except OSError as error:
                log.warning("the notes beside nginx's configuration can't be written", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITE_EVERY):
                    await self._urgent.wait()

    def _write(self, wanted: Mapping[str, Any]) -> None:
        for name, found in wanted.items():
            value = dict(found) if isinstance(found, Mapping) else found
            if self._written.get(name) == value:
                continue
            aside = self._run_dir / f".{name}.new"
            aside.touch(mode=0o640)
            aside.write_text(json.dumps(value))
            aside.replace(self._run_dir / name)
            self._written[name] = value
