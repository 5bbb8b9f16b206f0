"""Takes changes of watches.yaml and of charts in while everything runs.

Files are looked at every second and a half by what `stat` says, which costs nothing; mounted ConfigMaps, whose files
change by a swapped link, are seen like any other. A change is read once it has been still for one look, because an
editor or `cp -r` takes its time. A file that is wrong changes nothing but what /readyz says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter, Gauge

from gateway_operator.errors import ConfigError
from gateway_operator.releases.chart import Snapshots, entries
from gateway_operator.releases.watches import Watch, chart_paths, load_watches
from gateway_operator.telemetry import get_logger

LOOK_EVERY = 1.5
RELOADS = Counter("gateway_operator_reloads_total", "Readings of a changed watches.yaml or chart.", ["result"])
INVALID = Gauge("gateway_operator_watches_invalid", "1 while the watches.yaml on disk can't be used.")
_log = get_logger(__name__)

Signature = tuple[object, ...]


class WatchesFile:
    """A watches.yaml with its charts, as last read without a mistake. Raises ConfigError at first."""

    def __init__(self, path: Path, snapshots: Path, env: Mapping[str, str] = os.environ) -> None:
        self._path = path
        self._env = env
        self._snapshots = Snapshots(snapshots)
        self._charts = chart_paths(path, env)
        self._read = self._signature()
        self._pending: Signature | None = None
        self.problem: str | None = None
        self.watches: tuple[Watch, ...] = load_watches(path, env, self._snapshots)

    def look(self) -> bool:
        """Look at the files, and read them if they changed; returns whether there are new rows. Blocks."""
        now = self._signature()
        if now == self._read:
            self._pending = None
            return False
        if now != self._pending:
            self._pending = now
            return False
        return self.refresh()

    def refresh(self) -> bool:
        """Read the files if they changed, however shortly ago; returns whether there are new rows. Blocks.

        A replica that begins to lead after a long wait must not act by what was there when it started.
        """
        if self._signature() == self._read:
            return False
        self._charts = chart_paths(self._path, self._env)
        self._read, self._pending = self._signature(), None
        return self._load()

    def _load(self) -> bool:
        try:
            watches = load_watches(self._path, self._env, self._snapshots)
        except ConfigError as error:
            self.problem = str(error)
            RELOADS.labels("invalid").inc()
            INVALID.set(1)
            _log.error("watches.yaml is wrong; the last good one stays", problem=self.problem)
            return False
        changed = watches != self.watches
        self.watches, self.problem = watches, None
        RELOADS.labels("changed" if changed else "same").inc()
        INVALID.set(0)
        _log.info("watches.yaml read again", rows=len(watches), changed=changed)
        return changed

    def _signature(self) -> Signature:
        return tuple(_stamps(self._path)), *(tuple(_stamps(chart)) for chart in self._charts)


def _stamps(path: Path) -> Iterator[object]:
    """Yield what tells that a file, or any file of a folder, is another one."""
    for file in entries(path) if path.is_dir() else [path]:
        name = os.fspath(file)
        try:
            found = os.stat(name)  # noqa: PTH116 - a Path for each file costs more than all else here
        except OSError:
            yield name, None
        else:
            yield name, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@dataclass(frozen=True)
class RowChanges:
    """What differs between two readings, by rows."""

    added: tuple[Watch, ...] = ()
    removed: tuple[Watch, ...] = ()
    changed: tuple[tuple[Watch, Watch], ...] = ()  # old, new


def compare_rows(old: tuple[Watch, ...], new: tuple[Watch, ...]) -> RowChanges:
    """Say which rows came, went and changed. Pure."""
    before, after = {w.key: w for w in old}, {w.key: w for w in new}
    return RowChanges(
        added=tuple(w for key, w in after.items() if key not in before),
        removed=tuple(w for key, w in before.items() if key not in after),
        changed=tuple((before[key], w) for key, w in after.items() if key in before and before[key] != w),
    )


def needs_new_stream(old: Watch, new: Watch) -> bool:
    """Tell whether a changed row sees other objects than before."""
    return (old.api_version, old.selector) != (new.api_version, new.selector)
