"""Keeps the data of the running nginx at what the controller wants, and a snapshot of it for an nginx that starts.

Small changes go as deltas on the version that nginx has; when it has another one (it was restarted, or another
controller wrote) everything is loaded. Each request of a delta commits by itself, so a controller that dies in between
leaves no half update behind: the digest of a state on the way is never one that anybody wants.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from gateway_operator.ingress.data_socket import DataError, DataSocket, DataStatus, Full, Stale
from gateway_operator.ingress.records import (
    BETWEEN,
    FULL,
    Change,
    Digest,
    chunks,
    commit,
    difference,
    encode,
    snapshot_version,
    whole,
)
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

SNAPSHOT = "data.snapshot"
SOCKET = "data.sock"
SAVE_EVERY = 2.0
SAVE_SHARE = 20.0  # saving takes at most one part in so many of the time
ATTEMPTS = 3


class Delivery:
    """What one nginx has of the data, and the way to change it. For one task at a time."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / SOCKET
        self._socket = DataSocket(self._path)
        self._file = run_dir / SNAPSHOT
        self._data: Mapping[str, bytes] = {}
        self._digest = Digest()
        self._sure = False
        self._dirty = asyncio.Event()
        self._saving = asyncio.Lock()
        self.version = 0
        self.save_failed = False

    @property
    def data(self) -> Mapping[str, bytes]:
        """What nginx has, as far as this controller brought it there."""
        return self._data

    @property
    def digest(self) -> str:
        """The digest of `data`."""
        return str(self._digest)

    @property
    def reachable(self) -> bool:
        """Tell whether an nginx listens for data, as far as the file system shows."""
        return self._path.exists()

    def doubt(self) -> None:
        """Ask nginx what it has before the next update: it was reloaded or restarted."""
        self._sure = False

    async def status(self) -> DataStatus:
        """Ask nginx what it has. Away when it doesn't answer."""
        return await self._socket.status()

    async def bring(self, wanted: Mapping[str, bytes]) -> bool:
        """Bring nginx to this data (which nobody changes later) and tell whether that took an update.

        Raises Away; Full when it has no room: then the last data stays, and only endpoints follow.
        """
        before = self.version
        for attempt in range(ATTEMPTS):
            try:
                if not self._sure:
                    await self._agree(wanted)
                await self._update(wanted)
            except Stale:
                self._sure = False
                if attempt == ATTEMPTS - 1:
                    raise
            except Full:
                await self._endpoints_only(wanted)
                raise
            except DataError:
                self._sure = False
                raise
            else:
                break
        return self.version != before

    async def prepare(self, wanted: Mapping[str, bytes]) -> None:
        """Leave a snapshot for workers that are about to start: what nginx has, or else what it is to have."""
        if self.reachable and self.version:
            await self.save()
            return
        self._took(wanted, Digest(wanted), max(self.version, snapshot_version(self._file)) + 1)
        self._sure = False
        await self.save()

    async def _agree(self, wanted: Mapping[str, bytes]) -> None:
        """Find out what nginx has; load everything unless that is known."""
        status = await self._socket.status()
        if status.version != self.version or status.digest != self.digest:
            digest = Digest(wanted)
            if status.digest == str(digest):
                self._took(wanted, digest, status.version)
            else:
                await self._load(wanted, digest, status.version)
        self._sure = True

    async def _load(self, wanted: Mapping[str, bytes], digest: Digest, has: int) -> None:
        """Replace everything. Versions only grow, also over restarts of either side."""
        began = time.monotonic()
        if has:  # what is set from now on belongs to no complete data until the last request
            has = await self._socket.send(commit(has, has + 1, BETWEEN), start=has)
        version = max(has, self.version, snapshot_version(self._file)) + 1
        name = secrets.token_hex(8)
        pieces = list(chunks(encode(whole(wanted))))
        pieces = pieces or [b""]
        pieces[-1] += commit(FULL, version, str(digest))
        for piece in pieces:
            await self._socket.send(piece, start=FULL, load=name)
        self._took(wanted, digest, version)
        log.info("all data loaded", keys=len(wanted), milliseconds=round(1000 * (time.monotonic() - began)))

    def _took(self, data: Mapping[str, bytes], digest: Digest, version: int) -> None:
        self._data, self._digest, self.version = data, digest, version
        self._dirty.set()

    async def _update(self, wanted: Mapping[str, bytes]) -> None:
        change = difference(self._data, wanted)
        if not change:
            self._data = wanted  # equal, but the next comparison meets the same objects
            return
        digest = self._digest.after(change, self._data)
        try:
            await self._send(change, str(digest))
        except Full:
            await self._restore(change)
            raise
        self._took(wanted, digest, self.version)

    async def _send(self, change: Change, digest: str) -> None:
        """Send a delta in requests that each commit; the last one carries the digest."""
        pieces = list(chunks(encode(change))) or [b""]
        for number, piece in enumerate(pieces, 1):
            end = commit(self.version, self.version + 1, digest if number == len(pieces) else BETWEEN)
            self.version = await self._socket.send(piece + end, start=self.version)

    async def _restore(self, change: Change) -> None:
        """Take back what was set of an update that found no room."""
        keys = [key for key, _ in change.sets]
        added = tuple(key for key in keys if key not in self._data)
        former = tuple((key, self._data[key]) for key in keys if key in self._data)
        deleted = tuple((key, self._data[key]) for key in change.deletes)
        try:
            await self._send(Change((), added), BETWEEN)
            await self._send(Change((*deleted, *former), ()), self.digest)
        except DataError:
            self._sure = False
            raise

    async def _endpoints_only(self, wanted: Mapping[str, bytes]) -> None:
        """Without room for more, backends that nginx knows already go on following their endpoints."""
        if not self._sure:
            return
        known = {key: value for key, value in wanted.items() if key.startswith("u:") and key in self._data}
        try:
            await self._update({**self._data, **known})
        except DataError as error:
            log.warning("endpoints could not be brought to a full nginx", error=str(error))

    # --- the snapshot

    async def keep_saving(self) -> None:
        """Save after changes until cancelled: soon, but never so often that it costs much."""
        while True:
            await self._dirty.wait()
            took = await self.save()
            await asyncio.sleep(max(SAVE_EVERY, SAVE_SHARE * took))

    async def save(self) -> float:
        """Write the snapshot when it is behind and return the seconds that it took; a full disk is only said."""
        async with self._saving:
            if not self._dirty.is_set():
                return 0.0
            self._dirty.clear()
            began = time.monotonic()
            try:
                await asyncio.to_thread(write_snapshot, self._file, self._data, self.version, self.digest)
                self.save_failed = False
            except OSError as error:
                self._dirty.set()
                self.save_failed = True
                log.warning("the snapshot of nginx's data can't be written", error=str(error))
            return time.monotonic() - began


def write_snapshot(path: Path, data: Mapping[str, bytes], version: int, digest: str) -> None:
    """Write a snapshot in one step: readers find the old one or the new one, whole."""
    aside = path.with_name(f".{path.name}.new")
    try:
        aside.touch(mode=0o640)
        aside.chmod(0o640)
        with aside.open("wb") as file:
            file.writelines(chunks(encode(whole(data))))
            file.write(commit(FULL, version, digest))
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
