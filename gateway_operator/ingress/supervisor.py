"""PID 1 of nginx's container: runs nginx on the config that the controller wrote, and proves every change.

It has no token and knows nothing of Kubernetes; it takes short JSON lines over a unix socket. A new generation is
tested, `current` is swapped in one rename, nginx reloads, and the change counts only when new workers answer with its
version; else the old one comes back. A dead nginx is started again with the last config that worked. It uses the
standard library only, so that it starts fast.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway_operator.ingress.cgroup import available_cpus
from gateway_operator.ingress.children import Child, Children, child_pids, is_accepting, listeners
from gateway_operator.ingress.surroundings import allow_open_files, has_ipv6, openable_stdout

GENERATION = re.compile(r"gen-[0-9a-f]{16,64}")
BUILTIN = "builtin"
PROBE_EVERY = 0.025
TEST_TIMEOUT = 120.0
MAX_BACKOFF = 10.0

# Before the first config: no port for clients is open, so load balancers see "not yet" and nobody gets a wrong answer.
BUILTIN_CONFIG = """\
daemon off;
pid nginx.pid;
error_log stderr notice;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path client-body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        location = /configuration-version {{ return 200 "builtin"; }}
        location = /healthz {{ return 503; }}
        location / {{ return 404; }}
    }}
}}
"""


class Refused(Exception):
    """A command that can't be done; the reply is for the controller."""

    def __init__(self, stage: str, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.reply = {"ok": False, "stage": stage, "error": message, "stderr": stderr}


def say(message: str, **values: Any) -> None:
    """Write one log line."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "component": "supervisor", "event": message}
    print(json.dumps(line | values), file=sys.stderr, flush=True)  # noqa: T201


class Supervisor:
    """One nginx, its current generation, and the socket."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.run_dir: Path = options.run_dir
        self.prefix: Path = options.prefix
        self.binary: str = options.nginx
        self.port: int = options.status_port
        self.grace: float = options.shutdown_grace_period
        self.reload_timeout: float = options.reload_timeout
        self.master: Child | None = None
        self.restarts = 0
        self.version = ""
        self.stopping = asyncio.Event()
        self.urgent = asyncio.Event()
        self._busy = asyncio.Lock()

    async def run(self) -> int:
        """Run until told to stop; returns the exit code."""
        self.children = Children()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._on_stop)
        self._stdout = openable_stdout()
        self._prepare()
        self.version = await self._nginx_version()
        async with self._busy:
            await self._start()
        server = await self._listen()
        keeper = asyncio.create_task(self._keep_running())
        await self.stopping.wait()
        try:
            await self._drain()
        finally:
            keeper.cancel()
            server.close()
            (self.run_dir / "supervisor.sock").unlink(missing_ok=True)
        return 0

    def _on_stop(self) -> None:
        if self.stopping.is_set():
            self.urgent.set()
        self.stopping.set()

    # --- commands

    async def answer(self, request: Any) -> dict[str, Any]:
        """Carry out one command."""
        command = request.get("cmd") if isinstance(request, dict) else None
        if command == "status":
            return self._status()
        if command == "quit":
            self._on_stop()
            return {"ok": True}
        if command in {"apply", "test"}:
            name = self._checked(request.get("generation"))
            async with self._busy:
                await (self._apply(name, request.get("status_port")) if command == "apply" else self._test(name))
            return {"ok": True, "generation": name}
        raise Refused("command", "unknown command")

    def _status(self) -> dict[str, Any]:
        return {
            "ok": True,
            "running": self.master is not None and not self.master.exited.done(),
            "current": self._target("current"),
            "last_good": self._target("last-good"),
            "nginx_version": self.version,
            "cpus": available_cpus(),
            "ipv6": has_ipv6(),
            "restarts": self.restarts,
            "stopping": self.stopping.is_set(),
        }

    def _checked(self, name: Any) -> str:
        """A generation is one folder right below ours; nothing else is ever opened."""
        if not isinstance(name, str) or not GENERATION.fullmatch(name):
            raise Refused("command", "a generation is named gen-<hexadecimal digits>")
        folder = self.run_dir / name
        if folder.is_symlink() or not folder.is_dir():
            raise Refused("command", f"there is no generation {name}")
        return name

    async def _test(self, name: str) -> None:
        argv = [self.binary, "-t", "-q", "-e", "stderr", "-p", f"{self.prefix}/", "-c", self._config(name)]
        code, stderr = await self.children.run(argv, timeout=TEST_TIMEOUT)
        if code != 0:
            raise Refused("test", f"nginx -t refuses {name}", stderr)

    async def _apply(self, name: str, port: Any) -> None:
        if self.stopping.is_set():
            raise Refused("command", "nginx is stopping")
        if isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536:  # noqa: PLR2004
            self.port = port
        await self._test(name)
        previous = self._target("current")
        old = self._accepting()
        self._point("current", name)
        await self._reload()
        if await self._answers(name.removeprefix("gen-"), old):
            self._point("last-good", name)
            say("generation applied", generation=name)
            return
        say("new workers do not answer, going back", generation=name, previous=previous)
        self._point("current", previous or BUILTIN)
        await self._reload()
        raise Refused("reload", f"no worker answered with {name}; nginx's log says why")

    # --- nginx

    def _prepare(self) -> None:
        self.prefix.mkdir(parents=True, exist_ok=True)
        builtin = self.run_dir / BUILTIN
        builtin.mkdir(parents=True, exist_ok=True)
        (builtin / "nginx.conf").write_text(BUILTIN_CONFIG.format(port=self.port))

    async def _nginx_version(self) -> str:
        _, output = await self.children.run([self.binary, "-v"], timeout=10)
        match = re.search(r"nginx/(\d+(?:\.\d+)*)", output)
        return match[1] if match else ""

    async def _start(self) -> None:
        """Start nginx on the newest config that passes: the current one, the last that worked, the built-in one."""
        for link in ("current", "last-good"):
            target = self._target(link)
            if target is None or not GENERATION.fullmatch(target):
                continue
            try:
                await self._test(self._checked(target))
            except Refused as refused:
                say("a stored config does not pass", generation=target, stderr=refused.reply["stderr"])
                continue
            self._point("current", target)
            break
        else:
            self._point("current", BUILTIN)
        await self._spawn()

    async def _spawn(self) -> None:
        argv = [self.binary, "-e", "stderr", "-p", f"{self.prefix}/", "-c", self._config("current")]
        self.master = self.children.start(argv, stdout=self._stdout)
        say("nginx started", pid=self.master.pid, generation=self._target("current"))
        ends = time.monotonic() + self.reload_timeout
        while not self.master.exited.done() and not self._is_up(self.master.pid):  # before, a HUP would end it
            if time.monotonic() > ends:
                say("nginx is slow to start", pid=self.master.pid)
                return
            await asyncio.sleep(PROBE_EVERY)

    def _is_up(self, master: int) -> bool:
        try:
            written = (self.prefix / "nginx.pid").read_text().strip()
        except OSError:
            return False
        return written == str(master) and bool(child_pids(master))

    async def _reload(self) -> None:
        if self.master is None or self.master.exited.done():
            await self._spawn()
        else:
            os.kill(self.master.pid, signal.SIGHUP)

    async def _keep_running(self) -> None:
        backoff = 0.0
        while not self.stopping.is_set():
            master, since = self.master, time.monotonic()
            if master is None:
                await asyncio.sleep(PROBE_EVERY)
                continue
            code = await asyncio.shield(master.exited)
            if self.stopping.is_set():
                return
            async with self._busy:
                if self.master is not master:
                    continue
                self.restarts += 1
                say("nginx ended by itself, starting it again", exit_code=code, restarts=self.restarts)
                backoff = min(max(backoff * 2, 0.05), MAX_BACKOFF) if time.monotonic() - since < MAX_BACKOFF else 0.05
                self._dismiss_orphans()
                await asyncio.sleep(backoff)
                await self._start()

    def _dismiss_orphans(self) -> None:
        """Workers outlive a killed master and hold its ports; asked to quit they close them and end their requests."""
        for pid in self.children.strangers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT)

    def _accepting(self) -> list[tuple[int, dict[str, str]]]:
        """The workers of now, each with the listening sockets that it got from the master."""
        if self.master is None or self.master.exited.done():
            return []
        sockets = listeners(self.master.pid)
        return [(pid, sockets) for pid in child_pids(self.master.pid)]

    async def _answers(self, version: str, old: Sequence[tuple[int, dict[str, str]]]) -> bool:
        """Wait until new workers answer and no old one accepts connections: nginx lets both do so for 100 ms."""
        deadline = time.monotonic() + self.reload_timeout
        while time.monotonic() < deadline and not self.stopping.is_set():
            if await _probe(self.port) == version and not any(is_accepting(*worker) for worker in old):
                return True
            if self.master is None or self.master.exited.done():
                return False
            await asyncio.sleep(PROBE_EVERY)
        return False

    async def _drain(self) -> None:
        """Wait until endpoints have spread, let workers end their requests, then go; a second signal makes it short."""
        say("stopping", grace=self.grace)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.grace):
                await self.urgent.wait()
        master = self.master
        if master is None or master.exited.done():
            return
        os.kill(master.pid, signal.SIGQUIT)
        hurry = asyncio.create_task(self.urgent.wait())
        waiting: set[asyncio.Future[Any]] = {hurry, master.exited}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not master.exited.done():
            os.kill(master.pid, signal.SIGTERM)
            await asyncio.wait({master.exited}, timeout=5)
        hurry.cancel()
        say("nginx stopped")

    # --- files and socket

    def _config(self, name: str) -> str:
        return str(self.run_dir / name / "nginx.conf")

    def _target(self, link: str) -> str | None:
        try:
            return (self.run_dir / link).readlink().name
        except OSError:
            return None

    def _point(self, link: str, name: str) -> None:
        """Swap a link in one step: there is no moment without it."""
        aside = self.run_dir / f".{link}.new"
        aside.unlink(missing_ok=True)
        aside.symlink_to(name)
        aside.replace(self.run_dir / link)

    async def _listen(self) -> asyncio.AbstractServer:
        path = self.run_dir / "supervisor.sock"
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, path, limit=65536)
        path.chmod(0o660)
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                try:
                    reply = await self.answer(json.loads(line))
                except Refused as refused:
                    reply = refused.reply
                except json.JSONDecodeError:
                    reply = Refused("command", "no JSON").reply
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        writer.close()


async def _probe(port: int) -> str:
    """Ask for the configuration version on a new connection; "" when nobody answers."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /configuration-version HTTP/1.0\r\n\r\n")
                answer = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return ""
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode(errors="replace").strip() if b" 200 " in head.split(b"\r\n")[0] else ""


def main(argv: Sequence[str]) -> int:
    """Run the supervisor; `status` as the first word asks a running one, for probes."""
    words = list(argv)
    if words[:1] == ["status"]:
        return _ask_status(words[1:])
    options = _parser().parse_args(words)
    allow_open_files()
    return asyncio.run(Supervisor(options).run())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway-operator nginx", description="Run nginx for the controller.")
    env = os.environ
    parser.add_argument("--run-dir", type=Path, default=Path(env.get("GATEWAY_RUN_DIR", "/run/gateway")))
    parser.add_argument("--prefix", type=Path, default=Path(env.get("GATEWAY_TMP_DIR", "/tmp/nginx")))  # noqa: S108
    parser.add_argument("--nginx", default=env.get("GATEWAY_NGINX", "nginx"), help="the nginx binary")
    parser.add_argument("--status-port", type=int, default=10246, help="loopback port of the version probe")
    parser.add_argument("--shutdown-grace-period", type=float, default=5.0, help="seconds between TERM and QUIT")
    parser.add_argument("--reload-timeout", type=float, default=60.0, help="seconds for new workers to answer")
    return parser


def _ask_status(words: Sequence[str]) -> int:
    options = _parser().parse_args(words)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(options.run_dir / "supervisor.sock"))
            client.sendall(b'{"cmd": "status"}\n')
            reply = json.loads(client.makefile().readline())
    except (OSError, ValueError):
        return 1
    print(json.dumps(reply))  # noqa: T201
    return 0 if reply.get("running") else 1
