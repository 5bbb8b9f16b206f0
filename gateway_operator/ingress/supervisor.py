"""The first program of nginx's container: runs nginx on the config that the controller wrote, and proves every change.

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
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway_operator.ingress.cgroup import available_cpus, available_memory
from gateway_operator.ingress.children import Child, Children, child_pids, is_accepting, listeners
from gateway_operator.ingress.control_socket import Refused, ask, listen
from gateway_operator.ingress.draining import Draining
from gateway_operator.ingress.generations import BUILTIN, Generations
from gateway_operator.ingress.probes import (
    LUA_SINCE,
    configuration_version,
    lua_version,
    nginx_version,
    package_version,
)
from gateway_operator.ingress.surroundings import allow_open_files, has_ipv6, openable_stdout
from gateway_operator.ingress.usage import Usage

CONTROL = "supervisor.sock"
DATA_SOCKET = "data.sock"  # only the dynamic renderer's nginx has it
LUA_FILES = Path(__file__).parent / "lua"
PROBE_EVERY = 0.025
TEST_TIMEOUT = 120.0
MAX_BACKOFF = 10.0
WAIT_AT_MOST = 30.0
PORTS_FREE_WITHIN, POLL_PORTS = 0.5, 0.005


def say(message: str, **values: Any) -> None:
    """Write one log line."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "component": "supervisor", "event": message}
    print(json.dumps(line | values), file=sys.stderr, flush=True)  # noqa: T201


class Supervisor:
    """One nginx, its current generation, and the socket."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.run_dir: Path = options.run_dir
        self.generations = Generations(options.run_dir)
        self.prefix: Path = options.prefix
        self.binary: str = options.nginx
        self.port: int = options.status_port
        self.grace: float = options.shutdown_grace_period
        self.reload_timeout: float = options.reload_timeout
        self.master: Child | None = None
        self.restarts = 0
        self.version = self.package = ""
        self.modules: str = options.modules
        self.lua = 0
        self.draining = Draining(options.max_draining)
        self.usage = Usage()
        self.stopping = asyncio.Event()
        self.urgent = asyncio.Event()
        self._busy = asyncio.Lock()
        self._life = ""
        self._restarted = asyncio.Event()

    async def run(self) -> int:
        """Run until told to stop; returns the exit code."""
        self.children = Children()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._on_stop)
        self._stdout = openable_stdout()
        self.prefix.mkdir(parents=True, exist_ok=True)
        self.generations.prepare(self.port)
        self.version = await nginx_version(self.children.run, self.binary)
        self.package = package_version(self.version)
        self.lua = await lua_version(self.children.run, self.binary, self.modules)
        async with self._busy:
            await self._start()
        server = await listen(self.run_dir / CONTROL, self.answer)
        keeper = asyncio.create_task(self._keep_running())
        await self.stopping.wait()
        try:
            await self._drain()
        finally:
            keeper.cancel()
            server.close()
            (self.run_dir / CONTROL).unlink(missing_ok=True)
        return 0

    def _on_stop(self) -> None:
        if self.stopping.is_set():
            self.urgent.set()
        self.stopping.set()
        self._restarted.set()  # nobody has to wait for another life any more

    # --- commands

    async def answer(self, request: Any) -> dict[str, Any]:
        """Carry out one command."""
        command = request.get("cmd") if isinstance(request, dict) else None
        if command == "status":
            return self._status()
        if command == "wait":
            await self._wait_for_another_life(str(request.get("life")))
            return self._status()
        if command == "quit":
            self._on_stop()
            return {"ok": True}
        if command in {"apply", "test"}:
            name = self.generations.checked(request.get("generation"))
            async with self._busy:
                await (self._apply(name, request.get("status_port")) if command == "apply" else self._test(name))
            return {"ok": True, "generation": name}
        raise Refused("command", "unknown command")

    def _status(self) -> dict[str, Any]:
        workers = self._workers()
        master = self.master.pid if self.master is not None and not self.master.exited.done() else None
        return {
            "ok": True,
            "running": master is not None,
            "current": self.generations.target("current"),
            "last_good": self.generations.target("last-good"),
            "nginx_version": self.version,
            "package_version": self.package,
            "modules": self.modules,
            "lua": str(LUA_FILES) if self.lua >= LUA_SINCE and LUA_FILES.is_dir() else "",
            "lua_version": self.lua,
            "cpus": available_cpus(),
            "memory": available_memory(),
            "ipv6": has_ipv6(),
            "restarts": self.restarts,
            "life": self._life,
            "draining_generations": len(living := self.draining.living(workers)),
            "draining_workers": sum(map(len, living)),
            "draining_ended": self.draining.ended,
            "stopping": self.stopping.is_set(),
            **self.usage.read(self._life, master, workers),
        }

    async def _wait_for_another_life(self, life: str) -> None:
        """Return when nginx isn't the process any more that the asker knows; it may have lost its data."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_AT_MOST):
                while life == self._life and not self.stopping.is_set():
                    await self._restarted.wait()

    def _workers(self) -> list[int]:
        """All worker processes: the master's, and those that a dead master left to us."""
        master = self.master
        return [*(child_pids(master.pid) if master else []), *self.children.strangers()]

    async def _test(self, name: str) -> None:
        argv = [self.binary, "-t", "-q", "-e", "stderr", "-p", f"{self.prefix}/", "-c", self.generations.config(name)]
        had_socket = self.generations.has_socket()
        code, stderr = await self.children.run(argv, timeout=TEST_TIMEOUT)
        if not had_socket:  # some versions leave the socket that they tried, and then can't listen there
            self.generations.remove_socket()
        if code != 0:
            raise Refused("test", f"nginx -t refuses {name}", stderr)

    async def _apply(self, name: str, port: Any) -> None:
        if self.stopping.is_set():
            raise Refused("command", "nginx is stopping")
        if isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536:  # noqa: PLR2004
            self.port = port
        await self._test(name)
        previous = self.generations.target("current")
        old = self._accepting()
        self.generations.point("current", name)
        await self._reload()
        if await self._answers(name.removeprefix("gen-"), old):
            self.generations.limit_socket()
            self.generations.point("last-good", name)
            say("generation applied", generation=name)
            self._limit_draining()
            return
        say("new workers do not answer, going back", generation=name, previous=previous)
        self.generations.point("current", previous or BUILTIN)
        await self._reload()
        raise Refused("reload", f"no worker answered with {name}; nginx's log says why")

    def _limit_draining(self) -> None:
        if ended := self.draining.enforce(self._workers()):
            say("too many generations drain, the oldest is ended", workers=ended, ended=self.draining.ended)

    # --- nginx

    async def _start(self) -> None:
        """Start nginx on the newest config that passes: the current one, the last that worked, the built-in one."""
        for target in self.generations.stored():
            try:
                await self._test(self.generations.checked(target))
            except Refused as refused:
                say("a stored config does not pass", generation=target, stderr=refused.reply["stderr"])
                continue
            self.generations.point("current", target)
            break
        else:
            self.generations.point("current", BUILTIN)
        await self._dismiss_orphans()
        await self._spawn()

    async def _spawn(self) -> None:
        argv = [self.binary, "-e", "stderr", "-p", f"{self.prefix}/", "-c", self.generations.config("current")]
        self.generations.remove_socket()  # a killed nginx leaves it, and nobody can listen there
        self.master = self.children.start(argv, stdout=self._stdout)
        self._life = secrets.token_hex(8)  # not before: until now workers of a dead master may have taken data
        say("nginx started", pid=self.master.pid, generation=self.generations.target("current"))
        ends = time.monotonic() + self.reload_timeout
        while not self.master.exited.done() and not self._is_up(self.master.pid):  # before, a HUP would end it
            if time.monotonic() > ends:
                say("nginx is slow to start", pid=self.master.pid)
                return
            await asyncio.sleep(PROBE_EVERY)
        self.generations.limit_socket()

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
            self.draining.retire(child_pids(self.master.pid))
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
                await asyncio.sleep(backoff)
                await self._start()
                self._restarted.set()
                self._restarted.clear()

    async def _dismiss_orphans(self) -> None:
        """Take the ports from workers that outlived their master; they end the requests that they have."""
        orphans = self.children.strangers()
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT)
        ends = time.monotonic() + PORTS_FREE_WITHIN
        while any(listeners(pid) for pid in orphans) and time.monotonic() < ends:  # noqa: ASYNC110
            await asyncio.sleep(POLL_PORTS)  # nobody tells when a socket is closed

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
            if await configuration_version(self.port) == version and not any(is_accepting(*worker) for worker in old):
                return True
            if self.master is None or self.master.exited.done():
                return False
            await asyncio.sleep(PROBE_EVERY)
        return False

    async def _drain(self) -> None:
        """Wait until endpoints have spread, let workers end their requests, then go; a second signal makes it short."""
        say("stopping", grace=self.grace)
        await self._ask_clients_to_leave()
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

    async def _ask_clients_to_leave(self) -> None:
        """Let answers end their connections while there is time: what QUIT closes may meet a request on its way."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_unix_connection(self.run_dir / DATA_SOCKET)
                writer.write(b"DELETE /data HTTP/1.0\r\n\r\n")
                await reader.read()
                writer.close()


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
    modules = env.get("GATEWAY_NGINX_MODULES", "/usr/lib/nginx/modules")
    parser.add_argument("--modules", default=modules, help="folder of nginx's dynamic modules")
    parser.add_argument("--max-draining", type=int, default=4, help="old worker generations that may drain at once")
    parser.add_argument("--status-port", type=int, default=10246, help="loopback port of the version probe")
    parser.add_argument("--shutdown-grace-period", type=float, default=5.0, help="seconds between TERM and QUIT")
    parser.add_argument("--reload-timeout", type=float, default=60.0, help="seconds for new workers to answer")
    return parser


def _ask_status(words: Sequence[str]) -> int:
    options = _parser().parse_args(words)
    try:
        reply = ask(options.run_dir / CONTROL, {"cmd": "status"})
    except (OSError, ValueError):
        return 1
    print(json.dumps(reply))  # noqa: T201
    return 0 if reply.get("running") else 1
