"""What nginx's processes use."""

from __future__ import annotations

import os
import subprocess
import sys

from gateway_operator.ingress.usage import Usage

BUSY = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"


def test_processor_time_never_falls() -> None:
    """A worker that ends, and a master that is another, take nothing from what was counted."""
    usage = Usage()
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        first = usage.read("a", None, [child.pid])
        child.communicate(b"\n")
    assert first["cpu_seconds"] >= 0.1
    assert first["resident_bytes"] > 1e6
    assert first["processes"] == 1
    assert usage.read("a", None, [])["cpu_seconds"] == first["cpu_seconds"]
    second = usage.read("b", os.getpid(), [])
    assert second["cpu_seconds"] > first["cpu_seconds"]
    assert usage.read("b", os.getpid(), [2**22 + 1])["cpu_seconds"] >= second["cpu_seconds"]
