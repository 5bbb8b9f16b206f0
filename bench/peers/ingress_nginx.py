"""ingress-nginx's own controller, the data plane's peer, run from a root file system that somebody else prepared.

The root is a Debian with nginx and the modules and Lua files that the controller's template asks for; the controller
lies in it as /nginx-ingress-controller, its Lua files and template in /etc/nginx as in its image. Each run gets a copy
of what the controller writes to, so that nothing is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.dataplane.logs import AccessLog
from bench.dataplane.network import Ports
from bench.dataplane.processes import family, mentioning, send
from bench.dataplane.sites import CONFIG, NAMESPACE
from bench.dataplane.world import World
from gateway_operator.errors import ApiError
from gateway_operator.kube import Resource
from lab.errors import LabError
from lab.process import Daemons

NAME = "ingress-nginx"
PROGRAM = "nginx-ingress-controller"
POD = "ingress-nginx-0"
_NGINX = "/usr/sbin/nginx"
_PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
_LOGS = ("var/log/nginx/access.log", "var/log/nginx/error.log")
_WRITTEN = (*(f"etc/ingress-controller/{name}" for name in ("ssl", "auth", "telemetry")), "tmp/nginx")
_ENTER = (
    f'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && mount --bind "$1" "$0/{_LOGS[0]}" && shift && '
    f'exec chroot "$0" /{PROGRAM} "$@"'
)
_FIRST_CONF = "daemon off;\nuser root root;\npid /tmp/nginx/nginx.pid;\nevents {}\n"  # what nginx starts with
_CERTIFICATE, _KEY = "/etc/bench.crt", "/etc/bench.key"
_RELOADED = "Backend successfully reloaded"
_START_SECONDS = 30
_FLAGS_CHECKED = "Creating API client"  # it wants all ports to be free before
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Root:
    """A root file system that has the controller in it."""

    path: Path
    name: str

    async def prepare(self, world: World) -> None:
        """Give the controller the pod object that it looks for itself by."""
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(ApiError):  # the namespace's ServiceAccount comes a little later
                    await world.api.create(_PODS, _pod(), NAMESPACE)
                    return
                await asyncio.sleep(0.2)

    def gateway(self, folder: Path, ports: Ports, world: World) -> IngressNginx:
        """Return a controller that doesn't run yet."""
        return IngressNginx(self, folder, ports, world)


def root(given: Path) -> Root:
    """Check a root file system and ask its controller for its version. Raises LabError."""
    missing = [name for name in (PROGRAM, _NGINX[1:], "etc/nginx/template/nginx.tmpl") if not (given / name).exists()]
    if missing:
        raise LabError(f"{given} is no root file system with ingress-nginx: it has no {', '.join(missing)}")
    done = subprocess.run([given / PROGRAM, "--version"], capture_output=True, text=True, check=False)
    words = (done.stdout + done.stderr).split()
    release = words[words.index("Release:") + 1] if "Release:" in words else ""
    return Root(given.resolve(), f"{NAME} {release}".strip())


class IngressNginx:
    """The controller and its nginx in a root of their own."""

    def __init__(self, given: Root, folder: Path, ports: Ports, world: World) -> None:
        self.name = given.name
        self.folder = folder
        self.http, self.https, self.webhook, *self._more = (ports.take() for _ in range(10))
        self._root = given.path
        self._world = world
        self._daemons = Daemons(folder, tied=True)
        self._log = AccessLog()
        self.access_log = self._log.path
        self._helper: asyncio.Server | None = None

    async def start(self) -> None:
        """Clear what an earlier run left, and start the controller."""
        self._clear()
        shutil.copy(self._world.cluster.kubeconfig, self._root / "etc/bench.kubeconfig")
        for ours, theirs in ((self._world.pair.cert, _CERTIFICATE), (self._world.pair.key, _KEY)):
            shutil.copy(ours, self._root / theirs.lstrip("/"))
        status, stream, health, default, passthrough, profiler, logger = self._more
        flags = [
            "--kubeconfig=/etc/bench.kubeconfig",
            f"--configmap={CONFIG}",
            f"--http-port={self.http}",
            f"--https-port={self.https}",
            f"--status-port={status}",
            f"--stream-port={stream}",
            f"--healthz-port={health}",
            "--healthz-host=127.0.0.1",
            f"--default-server-port={default}",
            f"--ssl-passthrough-proxy-port={passthrough}",
            f"--profiler-port={profiler}",
            f"--internal-logger-address=127.0.0.1:{logger}",
            "--update-status=false",
            "--disable-leader-election=true",
            "--enable-metrics=true",
            f"--validating-webhook=127.0.0.1:{self.webhook}",
            f"--validating-webhook-certificate={_CERTIFICATE}",
            f"--validating-webhook-key={_KEY}",
        ]
        env = {
            "POD_NAME": POD,
            "POD_NAMESPACE": NAMESPACE,
            "NGINX_BINARY": _NGINX,
            "PATH": _PATH,
        }
        self._daemons.start(
            "controller", ["unshare", "--mount", "sh", "-c", _ENTER, self._root, self.access_log, *flags], env
        )
        async with asyncio.timeout(_START_SECONDS):
            self.check()
            while _FLAGS_CHECKED not in self._daemons.log("controller").read_text(encoding="utf-8"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        self._helper = await asyncio.start_server(_drop, "127.0.0.1", stream)

    async def stop(self) -> None:
        """End everything that was started."""
        pids = [*self.pids()]
        if self._helper:
            self._helper.close()
        await asyncio.to_thread(self._daemons.stop_all, kill=True)
        send(pids, signal.SIGKILL)
        self._log.remove()

    def pids(self) -> Iterable[int]:
        """Name the controller and its nginx."""
        for name in self._daemons.names():
            if pid := self._daemons.pid(name):
                yield from family(pid)

    def controller(self) -> int:
        """Return the controller's process."""
        return next(iter(mentioning(self.pids(), PROGRAM)), 0)

    def reload_notices(self) -> tuple[Path, str]:
        """Return the controller's log, and what it says of a reload."""
        return self._daemons.log("controller"), _RELOADED

    def check(self) -> None:
        """Raise LabError when the controller has ended by itself."""
        if not self._daemons.alive("controller"):
            raise LabError(f"{self.name} ended by itself:\n{self._daemons.tail('controller')}")

    def _clear(self) -> None:
        for name in _WRITTEN:
            shutil.rmtree(self._root / name, ignore_errors=True)
            (self._root / name).mkdir(parents=True)
        for name in _LOGS:
            (self._root / name).parent.mkdir(parents=True, exist_ok=True)
            (self._root / name).unlink(missing_ok=True)
            (self._root / name).touch()
        (self._root / "etc/nginx/nginx.conf").write_text(_FIRST_CONF, encoding="utf-8")
        self.folder.mkdir(parents=True)


def _drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be the stream module's socket, which the root's nginx lacks: each pass would wait for it."""
    writer.close()


def _pod() -> dict[str, Any]:
    spec = {"containers": [{"name": "controller", "image": NAME}], "automountServiceAccountToken": False}
    meta = {"name": POD, "labels": {"app": NAME}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
