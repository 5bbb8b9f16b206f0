"""A real nginx under the real supervisor and real backends: what the fixtures hand out."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from gateway_operator.ingress.certificates import self_signed
from gateway_operator.ingress.graph import Graph, GraphBuilder
from gateway_operator.ingress.plan import Machine
from gateway_operator.ingress.planner import Compiled, compile_plan, read_config
from gateway_operator.ingress.problems import Ref
from gateway_operator.ingress.render.static import render
from gateway_operator.ingress.snapshot import Snapshot
from gateway_operator.ingress.supervised import Supervised

FAKE = self_signed()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Backend:
    """An HTTP server that tells what reached it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of all addresses."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_get("/ws", self._socket)
        app.router.add_route("*", "/{path:.*}", self._echo)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "0.0.0.0", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _echo(self, request: web.Request) -> web.Response:
        body = await request.read()
        return web.json_response(
            {"backend": self.name, "path": request.raw_path, "headers": dict(request.headers), "size": len(body)}
        )

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            await answer.send_str(f"{self.name}:{message.data}")
        return answer


class Gateway:
    """One supervisor process with its nginx, and a client for it."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self.folder = folder
        self.http, self.https, self.status = free_port(), free_port(), free_port()
        self.binary = binary
        self.supervised = Supervised(folder, status_port=self.status)
        self.builder = GraphBuilder()
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the supervisor; returns when nginx runs."""
        log = (self.folder / "log").open("ab")
        code = "import sys; from gateway_operator.ingress.supervisor import main; sys.exit(main(sys.argv[1:]))"
        flags = [f"--run-dir={self.folder}", f"--prefix={self.folder}/tmp", f"--nginx={self.binary}"]
        flags += [f"--status-port={self.status}", "--shutdown-grace-period=0.2", "--reload-timeout=5"]
        argv = [sys.executable, "-c", code, *flags]
        self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        log.close()
        await eventually(self._up)

    async def _up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        return (await self.supervised.status()).running

    def stop(self) -> int:
        """End it with TERM and return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the supervisor doesn't stop:\n{self.log()[-3000:]}") from None

    def log(self) -> str:
        """What supervisor and nginx wrote so far."""
        return (self.folder / "log").read_text(errors="replace")

    def compile(self, snapshot: Snapshot) -> tuple[Graph, Compiled]:
        """Run the pure steps for this nginx."""
        machine = Machine(self.http, self.https, self.status, ipv6=False, cpus=2, nginx_version=self.nginx_version)
        graph = self.builder.build(snapshot)
        config = read_config(snapshot.config, Ref("ConfigMap", "gw", "config", "", "v1"))
        return graph, compile_plan(graph, config, machine, FAKE)

    @property
    def nginx_version(self) -> tuple[int, ...]:
        """The version as numbers."""
        output = subprocess.run([self.binary, "-v"], capture_output=True, text=True, check=True).stderr
        return tuple(int(part) for part in output.split("nginx/")[1].split()[0].split("."))

    async def serve(self, snapshot: Snapshot) -> Graph:
        """Bring nginx to these objects, as the controller does."""
        graph, compiled = self.compile(snapshot)
        rendered = render(compiled.plan)
        name = self.supervised.write(rendered.files, compiled.index)
        await self.supervised.apply(name)
        return graph

    async def get(self, host: str, path: str = "/", **kwargs: Any) -> aiohttp.ClientResponse:
        """One request on a new connection; redirects are not followed."""
        method = kwargs.pop("method", "GET")
        headers = {"Host": host} | kwargs.pop("headers", {})
        url = URL(f"http://127.0.0.1:{self.http}{path}", encoded=True)
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, headers=headers, allow_redirects=False, **kwargs) as answer,
        ):
            await answer.read()
            return answer

    async def backend_of(self, host: str, path: str = "/") -> str | int:
        """The name of the backend that answers, or the status that nginx gives."""
        answer = await self.get(host, path)
        return (await answer.json())["backend"] if answer.status == 200 else answer.status

    def certificate(self, name: str) -> bytes:
        """The certificate that nginx shows for a server name, as DER."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", self.https)) as raw,
            context.wrap_socket(raw, server_hostname=name) as tls,
        ):
            return tls.getpeercert(binary_form=True) or b""

    @property
    def master(self) -> int:
        """The process id of nginx's master."""
        return int((self.folder / "tmp/nginx.pid").read_text())


async def eventually(check: Any, seconds: float = 15.0) -> Any:
    """Wait until a check (a coroutine function) holds; errors of a part that isn't up yet count as no."""
    ends = time.monotonic() + seconds
    while True:
        with contextlib.suppress(Exception):
            if result := await check():
                return result
        assert time.monotonic() < ends, f"{check} did not hold within {seconds} s"
        await asyncio.sleep(0.02)
