"""Packets that are dropped in silence, for as long as a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.process import run

_TABLE = "bench_drops"


@contextmanager
def dropped(match: str) -> Iterator[None]:
    """Drop the packets that an nft expression matches, as `tcp dport 6443`."""
    chain = f"type filter hook prerouting priority raw; policy accept; {match} drop"
    run(["nft", "-f", "-"], f"table ip {_TABLE} {{\nchain into {{\n{chain}\n}}\n}}\n")
    try:
        yield
    finally:
        run(["nft", "delete", "table", "ip", _TABLE])
