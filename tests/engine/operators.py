"""Operators as processes, since a conformance suite may know nothing of their insides: command, ports, output."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from lab.control import free_ports
from tests import forked
from tests.apiserver.releases_lab import version_of
from tests.engine.profiles import Launch, Profile

START_SECONDS = 60.0
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})

# Notes each call with its arguments; says the version by itself, as every operator asks for it; waits while the file
# `hold` is there; then becomes the real helm.
SHIM = """#!/bin/bash
echo "$$ $*" >> {folder}/calls
if [ "$1" = version ]; then printf {version}; exit; fi
while [ -e {folder}/hold ]; do sleep 0.05; done
exec -a helm {helm} "$@"
"""


@dataclass(frozen=True)
class Call:
    """One run of helm."""

    pid: int
    verb: str
    arguments: tuple[str, ...]

    @property
    def release(self) -> str:
        """The first argument that is no flag: the release, for what changes one."""
        return self.arguments[0] if self.arguments else ""


class HelmShim:
    """A helm on PATH that is counted, and can be held up; operators with a helm of their own never see it."""

    def __init__(self, folder: Path, helm: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        file = folder / "helm"
        file.write_text(SHIM.format(folder=folder, helm=helm, version=version_of(helm)))
        file.chmod(file.stat().st_mode | stat.S_IEXEC)
        (folder / "calls").touch()

    def calls(self, release: str = "") -> list[Call]:
        """The runs so far, but those that only ask for a version; of one release, if named."""
        found = []
        for line in (self.folder / "calls").read_text().splitlines():
            pid, verb, *arguments = line.split(" ")
            if verb != "version" and release in {"", *arguments}:
                found.append(Call(int(pid), verb, tuple(arguments)))
        return found

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make every helm wait before it begins."""
        (self.folder / "hold").touch()
        try:
            yield
        finally:
            (self.folder / "hold").unlink(missing_ok=True)


class Operator:
    """One operator's process, which can be started again with the same command.

    Ours can be a fork (`tests/forked.py`), which is cheap; where a start is measured it must not be.
    """

    def __init__(
        self, profile: Profile, launch: Launch, kubeconfig: Path, folder: Path, shim: HelmShim, *, fork: bool = False
    ) -> None:
        self.profile = profile
        self.launch = launch
        self.log = folder / "operator.log"
        self._kubeconfig = kubeconfig
        self._folder = folder
        self._shim = shim
        self._fork = fork
        self._process: subprocess.Popen[bytes] | forked.Fork | None = None

    def spawn(self, *, namespace: str = "default") -> subprocess.Popen[bytes] | forked.Fork:
        """Start the process without waiting for anything; `namespace` is its own."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY_OPERATOR_", "HELM_"))}
        env |= {
            "KUBECONFIG": str(self._kubeconfig),
            "PATH": f"{self._shim.folder}:{os.environ['PATH']}",
            "WATCH_NAMESPACE": ",".join(self.launch.selected),
            "POD_NAMESPACE": namespace,
            "HOME": str(self._folder),
            "SUITE_WORD": "from-the-environment",
        }
        root = Path(__file__).resolve().parents[2]
        with self.log.open("ab") as log:
            if self._fork:
                arguments = self.profile.arguments(self.launch)
                self._process = forked.program(forked.OPERATOR, arguments, env=env, log=log, cwd=root)
            else:
                self._process = subprocess.Popen(
                    self.profile.command(self.launch),
                    cwd=root,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        return self._process

    def start(self, *, ready: bool = True) -> None:
        """Start the process and wait until it answers; `ready` waits for /readyz, too."""
        self.spawn()
        deadline = time.monotonic() + START_SECONDS
        while self.get("/readyz" if ready else "/healthz")[0] != 200:
            assert self.process.poll() is None, f"the operator ended:\n{self.tail()}"
            assert time.monotonic() < deadline, f"the operator is not ready: {self.get('/readyz')}\n{self.tail()}"
            time.sleep(0.05)

    @property
    def process(self) -> subprocess.Popen[bytes] | forked.Fork:
        """The process; it must have been started."""
        assert self._process is not None
        return self._process

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self, *, kill: bool = False, patience: float = 15.0) -> None:
        """End the process: politely first, unless `kill`."""
        if self._process is None:
            return
        if self._process.poll() is None and not kill:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the process where it is, and let it go on afterwards."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def get(self, path: str, *, metrics: bool = False) -> tuple[int, str]:
        """Ask one of its ports; status 0 is no answer."""
        address = self.launch.metrics if metrics else self.launch.health
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, /, **labels: str) -> list[tuple[dict[str, str], float]]:
        """The samples of a metric that have these labels."""
        status, text = self.get("/metrics", metrics=True)
        assert status == 200, text
        return [
            (sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def total(self, name: str, /, **labels: str) -> float:
        """The sum of those samples; the metric must exist."""
        found = self.metric(name, **labels)
        assert found or labels, f"no metric {name}"
        return sum(value for _, value in found)

    def writes(self) -> float:
        """How many requests that write the API server has had from it."""
        found = self.metric("rest_client_requests_total")
        assert found, "no metric rest_client_requests_total"
        return sum(value for labels, value in found if labels["method"] in WRITES)

    def reads(self) -> float:
        """How many requests that read."""
        found = self.metric("rest_client_requests_total")
        return sum(value for labels, value in found if labels["method"] not in WRITES)

    def tail(self, lines: int = 15) -> str:
        """The end of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def free_address() -> str:
    """An address on which nobody listens."""
    return f"127.0.0.1:{free_ports(1)[0]}"


def write_rows(file: Path, rows: list[dict[str, object]]) -> Path:
    """Write a watches.yaml."""
    file.write_text(yaml.safe_dump(rows, sort_keys=False))
    return file
