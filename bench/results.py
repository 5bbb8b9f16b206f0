"""What a benchmark found, as rows that are all alike: JSON for machines, a table for people.

A run may measure only some parts of a benchmark; its rows then replace those of the same parts in the file.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from lab.paths import CHECKOUT

FOLDER = CHECKOUT / "bench" / "results"
Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Row:
    """One measured figure. `peer` and `ratio` are None where there is no peer, `mark` and `holds` where none is set."""

    what: str
    unit: str
    ours: float | None
    peer: float | None
    peer_name: str | None
    ratio: float | None
    better: Better
    mark: float | None
    holds: bool | None


@dataclass(frozen=True)
class Part:
    """The rows of one part of a benchmark, and what is worth keeping beside them (samples, seeds)."""

    rows: tuple[Row, ...]
    details: dict[str, Any] = field(default_factory=dict)


def row(
    what: str,
    unit: str,
    ours: float | None,
    peer: float | None = None,
    *,
    peer_name: str | None = None,
    better: Better = "lower",
    mark: float | None = None,
    of_peer: float | None = None,
) -> Row:
    """Make a row. The figure to reach is `mark`, or `of_peer` times what the peer reached.

    An infinite figure ("never within the time that was given") becomes None, and misses its mark.
    """
    known = ours is not None and math.isfinite(ours)
    beside = peer is not None and math.isfinite(peer)
    if mark is None and of_peer is not None and peer is not None and beside:
        mark = of_peer * peer
    ratio = ours / peer if known and beside and ours is not None and peer else None
    holds = None
    if mark is not None:
        holds = known and ours is not None and (ours <= mark if better == "lower" else ours >= mark)
    return Row(
        what,
        unit,
        _short(ours),
        _short(peer),
        peer_name if peer is not None else None,
        _short(ratio),
        better,
        _short(mark),
        holds,
    )


def _short(value: float | None) -> float | None:
    """Keep four digits: more is noise."""
    return float(f"{value:.4g}") if value is not None and math.isfinite(value) else None


def missed(rows: list[dict[str, Any]]) -> list[str]:
    """Name the rows whose mark was not reached."""
    return [r["what"] for r in rows if r["holds"] is False]


class Results:
    """The file of one benchmark."""

    def __init__(self, name: str, order: tuple[str, ...], folder: Path = FOLDER) -> None:
        self.name = name
        self.file = folder / f"{name}.json"
        self._order = order

    def load(self) -> dict[str, Any]:
        """Return what is kept, or an empty result."""
        try:
            kept: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            kept = {"name": self.name, "rows": [], "parts": {}}
        return kept

    def put(self, part: str, measured: Part) -> None:
        """Replace one part's rows in the file. Parts measured at other times keep their own date."""
        kept = self.load()
        rows = {r["what"]: r for r in kept["rows"]}
        parts: dict[str, Any] = kept["parts"]
        about = {"commit": commit(), "machine": machine(), "date": now()}
        parts[part] = {**about, "rows": [r.what for r in measured.rows], "details": measured.details}
        rows |= {r.what: asdict(r) for r in measured.rows}
        ordered = [rows[what] for name in self._order if name in parts for what in parts[name]["rows"]]
        whole = {"name": self.name, **about, "rows": ordered, "parts": parts}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def now() -> str:
    """Return the time in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def commit() -> str:
    """Return the checkout's commit, with a plus sign when it has been edited since."""
    git = ["git", "-C", str(CHECKOUT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    return (head.stdout.strip() or "unknown") + ("+" if dirty.stdout.strip() else "")


def machine() -> str:
    """Say what this ran on: processors, memory, kernel, Python. No names."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    software = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{cores} cores {_processor()}, {memory:.0f} GiB, {software}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
