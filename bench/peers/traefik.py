"""Traefik with its provider for ingress-nginx's annotations: the maintained alternative that reads the same Ingresses.

A single process is controller and data plane; it runs with one thread, as each nginx has one worker.
"""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.dataplane.logs import AccessLog
from bench.dataplane.network import Ports
from bench.dataplane.processes import send
from bench.dataplane.world import CLASS, World
from gateway_operator.crds.config_keys import parse_config
from lab.errors import LabError
from lab.process import Daemons

NAME = "traefik"
_NEVER = "configuration was read anew"  # it has no reloads
_VERSION = re.compile(r"^Version:\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Program:
    """A traefik that somebody else built."""

    path: Path
    name: str

    async def prepare(self, world: World) -> None:
        """Need nothing of the world."""

    def gateway(self, folder: Path, ports: Ports, world: World) -> Traefik:
        """Return one that doesn't run yet."""
        return Traefik(self, folder, ports, world)


def program(given: Path) -> Program:
    """Check a program and ask for its version. Raises LabError."""
    done = subprocess.run([given, "version"], capture_output=True, text=True, check=False)
    found = _VERSION.search(done.stdout)
    if not found:
        raise LabError(f"{given} is no traefik: it says {(done.stdout + done.stderr)[:200]!r}")
    return Program(given.resolve(), f"{NAME} {found[1]}")


class Traefik:
    """The process, with an access log and metrics, as the others have them."""

    def __init__(self, given: Program, folder: Path, ports: Ports, world: World) -> None:
        self.name = given.name
        self.folder = folder
        self.http, self.https, self._status = (ports.take() for _ in range(3))
        self.webhook = 0  # it has none
        self._log = AccessLog()
        self.access_log = self._log.path
        self._path = given.path
        self._world = world
        self._daemons = Daemons(folder, tied=True)

    async def start(self) -> None:
        """Start it; what nginx has by default is set where it differs."""
        self.folder.mkdir(parents=True)
        defaults, _ = parse_config({})
        provider = "--providers.kubernetesingressnginx"
        flags = [
            f"--entrypoints.web.address=:{self.http}",
            f"--entrypoints.websecure.address=:{self.https}",
            f"--entrypoints.traefik.address=127.0.0.1:{self._status}",
            f"{provider}=true",
            f"{provider}.ingressclass={CLASS}",
            f"{provider}.watchingresswithoutclass=true",
            f"--serverstransport.maxidleconnsperhost={defaults['upstream-keepalive-connections']}",
            "--accesslog=true",
            f"--accesslog.filepath={self.access_log}",
            "--metrics.prometheus=true",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
        ]
        env = {"KUBECONFIG": str(self._world.cluster.kubeconfig), "GOMAXPROCS": "1"}
        await asyncio.to_thread(self._daemons.start, NAME, [self._path, *flags], env)

    async def stop(self) -> None:
        """End it."""
        pids = [*self.pids()]
        await asyncio.to_thread(self._daemons.stop_all, kill=True)
        send(pids, signal.SIGKILL)
        self._log.remove()

    def pids(self) -> Iterable[int]:
        """Name its process."""
        if pid := self._daemons.pid(NAME):
            yield pid

    def controller(self) -> int:
        """Return its process."""
        return self._daemons.pid(NAME) or 0

    def reload_notices(self) -> tuple[Path, str]:
        """Return its log, which never says what nginx says of a reload."""
        return self._daemons.log(NAME), _NEVER

    def check(self) -> None:
        """Raise LabError when it has ended by itself."""
        if not self._daemons.alive(NAME):
            raise LabError(f"{self.name} ended by itself:\n{self._daemons.tail(NAME)}")
