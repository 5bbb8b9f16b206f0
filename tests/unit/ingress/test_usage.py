"""What nginx's processes use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway_operator.ingress import usage
from gateway_operator.ingress.usage import Usage

BUSY = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"


def test_processor_time_never_falls() -> None:
    """A worker that ends, and a master that is another, take nothing from what was counted."""
    used, began = Usage(), time.time()
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        first = used.read("a", None, [child.pid])
        child.communicate(b"\n")
    assert first["cpu_seconds"] >= 0.1
    assert first["resident_bytes"] > 1e6
    assert first["virtual_bytes"] > first["resident_bytes"]
    assert first["processes"] == 1
    assert began - 60 < first["oldest_start"] < time.time() + 1
    assert used.read("a", None, [])["cpu_seconds"] == first["cpu_seconds"]
    second = used.read("b", os.getpid(), [])
    assert second["cpu_seconds"] > first["cpu_seconds"]
    assert used.read("b", os.getpid(), [2**22 + 1])["cpu_seconds"] >= second["cpu_seconds"]


def test_bytes_of_storage_never_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process read and wrote stays counted when it has ended, and another master's comes on top."""
    found = {"read_bytes": 100, "write_bytes": 7}
    monkeypatch.setattr(usage, "_storage", lambda _, key: found[key])
    counted, me = Usage(), os.getpid()

    def told(life: str) -> tuple[float, float]:
        now = counted.read(life, None, [me])
        return now["read_bytes"], now["written_bytes"]

    assert told("a") == (100, 7)
    found |= {"read_bytes": 30}
    assert told("a") == (100, 7)
    assert told("b") == (130, 14)
    assert counted.read("b", None, [])["oldest_start"] == 0


def test_storage_is_the_kernels_count() -> None:
    """It is read from /proc; a process that is gone counts as nothing."""
    text = Path("/proc/self/io").read_text()
    assert f"write_bytes: {usage._storage(os.getpid(), 'write_bytes')}\n" in text
    assert usage._storage(2**22 + 1, "write_bytes") == 0
