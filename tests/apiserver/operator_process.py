"""The operator as a process, with ports and a lease of its own."""

from __future__ import annotations

import json
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.apiserver import ApiCluster
from lab.control import free_ports
from tests import forked


class Operator:
    """A running operator and its ports."""

    def __init__(self, process: forked.Fork, health: int, metrics: int, log: Path) -> None:
        self.process, self.health, self.metrics, self._log = process, health, metrics, log

    @property
    def log(self) -> str:
        """Everything that it has written."""
        return self._log.read_text()

    def get(self, path: str, *, metrics: bool = False) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.metrics if metrics else self.health}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def report(self) -> dict[str, Any]:
        """Return what /readyz says."""
        return json.loads(self.get("/readyz")[1] or "{}")

    @property
    def leads(self) -> bool:
        return bool(self.report().get("leader"))

    def wait(self, holds, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert self.process.poll() is None, f"the operator ended: {self.log[-2000:]}"
            assert time.monotonic() < end, (self.get("/readyz"), self.log[-2000:])
            time.sleep(0.1)


@contextmanager
def operator(
    cluster: ApiCluster, namespace: str, *flags: str, helm: Path | None = None, cwd: Path | None = None
) -> Iterator[Operator]:
    """Run `gateway-operator run` with its lease in `namespace`, as a fork."""
    health, metrics = free_ports(2)
    env = os.environ | {"KUBECONFIG": str(cluster.kubeconfig), "POD_NAMESPACE": namespace}
    addresses = [f"--health-probe-bind-address=127.0.0.1:{health}", f"--metrics-bind-address=127.0.0.1:{metrics}"]
    helms = ["--helm", str(helm)] if helm else []
    arguments = ["run", *addresses, *helms, *flags]
    with tempfile.NamedTemporaryFile(suffix=".log") as log:  # a pipe that nobody reads would stop the operator
        process = forked.program(forked.OPERATOR, arguments, env=env, log=log, cwd=cwd)
        try:
            yield Operator(process, health, metrics, Path(log.name))
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
