"""A real nginx under the real supervisor and real backends: what the fixtures hand out."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import trustme
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

import lab.nginx
from gateway_operator.ingress.certificates import self_signed
from gateway_operator.ingress.delivery import Delivery
from gateway_operator.ingress.graph import Graph, GraphBuilder
from gateway_operator.ingress.plan import Machine, Plan
from gateway_operator.ingress.planner import Compiled, compile_plan, read_config
from gateway_operator.ingress.problems import Ref
from gateway_operator.ingress.render import static
from gateway_operator.ingress.render.common import Rendered
from gateway_operator.ingress.snapshot import Snapshot
from gateway_operator.ingress.supervised import GenerationRefused, Supervised
from lab.control import free_ports

FAKE = self_signed()
RENDERERS = ("static", "dynamic")
LUA = Path(static.__file__).parents[1] / "lua"


def free_port() -> int:
    """A port that nobody listens on, nor will while this process lives unless it is told to."""
    return free_ports(1)[0]


def renderer_of(name: str) -> Any:
    """The module that renders: `render(plan)` and `unsupported(plan)`."""
    return importlib.import_module(f"gateway_operator.ingress.render.{name}")


class Backend:
    """An HTTP server that tells what reached it."""

    def __init__(self, name: str, tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self.port = 0
        self.tls = tls
        self.status = 200  # of answers to requests that ask for no other
        self.seen: list[web.Request] = []
        self.let_go = asyncio.Event()  # set: requests with `hold` in their query are answered

    async def start(self) -> None:
        """Listen on a free port of all addresses."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_get("/ws", self._socket)
        app.router.add_route("*", "/{path:.*}", self._echo)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "0.0.0.0", 0, ssl_context=self.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening; connections that nginx kept end in the loop's next rounds."""
        await self._runner.cleanup()
        await asyncio.sleep(0.01)

    async def _echo(self, request: web.Request) -> web.Response:
        """Tell what came; the query may ask for a `status`, a `wait` in seconds, to `hold` it, headers (`h.<name>`)."""
        body = await request.read()
        self.seen.append(request)
        if "wait" in request.query:
            await asyncio.sleep(float(request.query["wait"]))
        if "hold" in request.query:
            await self.let_go.wait()
        headers = [(key[2:], value) for key, value in request.query.items() if key.startswith("h.")]
        peer = request.transport.get_extra_info("ssl_object") if request.transport else None
        told = {
            "backend": self.name,
            "method": request.method,
            "path": request.raw_path,
            "headers": dict(request.headers),
            "size": len(body),
            "version": f"{request.version.major}.{request.version.minor}",
            "client": peer.getpeercert() if peer else None,
            "peer": request.transport.get_extra_info("peername")[1] if request.transport else None,
            "pad": "x" * int(request.query.get("pad", 0)),
        }
        text = json.dumps(told)
        status = int(request.query.get("status", self.status))
        return web.Response(text=text, status=status, content_type="application/json", headers=CIMultiDict(headers))

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            await answer.send_str(f"{self.name}:{message.data}")
        return answer


def _same_user(folder: Path, binary: Path) -> Path:
    """Return an nginx whose workers can read what its master can, as in the image, where nobody is root."""
    if os.geteuid() != 0:
        return binary
    wrapper = folder / "nginx"
    wrapper.write_text(f'#!/bin/sh\nexec {binary} -g "user root root;" "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


class Gateway:
    """One supervisor process with its nginx, and a client for it."""

    def __init__(self, folder: Path, binary: Path, renderer: str = "static") -> None:
        self.folder = folder
        self.http, self.https, self.status, *self._inner = (free_port() for _ in range(5))
        self.binary = _same_user(folder, binary)
        self.renderer = renderer
        self.generation = ""
        self.reloads = 0
        self.delivery = Delivery(folder)
        self.supervised = Supervised(folder, status_port=self.status)
        self.builder = GraphBuilder()
        self.flags: list[str] = []  # more ones of the supervisor
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the supervisor; returns when nginx runs."""
        log = (self.folder / "log").open("ab")
        code = "import sys; from gateway_operator.ingress.supervisor import main; sys.exit(main(sys.argv[1:]))"
        flags = [f"--run-dir={self.folder}", f"--prefix={self.folder}/tmp", f"--nginx={self.binary}"]
        flags += [f"--status-port={self.status}", "--shutdown-grace-period=0.2", "--reload-timeout=30"]
        flags += [f"--modules={lab.nginx.modules()}", *self.flags]
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
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the supervisor doesn't stop:\n{self.log()[-3000:]}") from None

    def end(self) -> None:
        """Stop it where it runs; the nginx of a supervisor that was killed ends as well."""
        try:
            if self.process is not None and self.process.poll() is None:
                self.stop()
        finally:
            self._end_what_is_left()

    def _end_what_is_left(self) -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # nginx removes the file when it ends
            master = self.master
            ends = time.monotonic() + 30
            while f"{self.folder}/tmp/".encode() in Path(f"/proc/{master}/cmdline").read_bytes():  # not a reused id
                os.kill(master, signal.SIGTERM)
                assert time.monotonic() < ends, f"nginx {master} outlives its supervisor"
                time.sleep(0.02)

    def log(self) -> str:
        """What supervisor and nginx wrote so far."""
        return (self.folder / "log").read_text(errors="replace")

    async def logged(self, text: str) -> None:
        """Wait until nginx has logged a text."""

        async def found() -> bool:
            return text in self.log()

        await eventually(found)

    @functools.cached_property
    def machine(self) -> Machine:
        """What a renderer has to know of this nginx."""
        return Machine(
            self.http,
            self.https,
            self.status,
            ipv6=False,
            cpus=2,
            nginx_version=self.nginx_version,
            run_dir=str(self.folder),
            modules=str(lab.nginx.modules()),
            lua=str(LUA) if self.renderer == "dynamic" else "",
            inner_https_port=self._inner[0],
            inner_stream_port=self._inner[1],
        )

    def compile(self, snapshot: Snapshot, **front: Any) -> tuple[Graph, Compiled]:
        """Run the pure steps for this nginx; `front` are options of the front that differ from the defaults."""
        config = read_config(snapshot.config, Ref("ConfigMap", "gw", "config", "", "v1"), snapshot.configmaps)
        builder = GraphBuilder(**front) if front else self.builder
        graph = builder.build(snapshot, config=config)
        passthrough = bool(front.get("passthrough"))
        return graph, compile_plan(graph, config, self.machine, FAKE, passthrough=passthrough)

    @functools.cached_property
    def nginx_version(self) -> tuple[int, ...]:
        """The version as numbers."""
        output = subprocess.run([self.binary, "-v"], capture_output=True, text=True, check=True).stderr
        return tuple(int(part) for part in output.split("nginx/")[1].split()[0].split("."))

    def render(self, plan: Plan) -> Rendered:
        """Print a plan with this gateway's renderer."""
        rendered: Rendered = renderer_of(self.renderer).render(plan)
        return rendered

    async def serve(self, snapshot: Snapshot, **front: Any) -> Graph:
        """Bring nginx to these objects, as the controller does."""
        graph, compiled = self.compile(snapshot, **front)
        await self.take(self.render(compiled.plan), dict(compiled.index))
        return graph

    async def take(self, rendered: Rendered, index: Mapping[str, Any]) -> None:
        """Bring nginx to these files and this data."""
        name = self.supervised.write(rendered.files, index)
        if name != self.generation:
            try:
                await self.supervised.apply(name)
            except GenerationRefused as refused:
                refused.add_note(refused.stderr or self.log()[-2000:])
                raise
            self.generation = name
            self.reloads += 1
            self.delivery.doubt()
        if rendered.data:
            await self.delivery.bring(rendered.data)

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

    async def get_tls(self, host: str, path: str = "/", **kwargs: Any) -> aiohttp.ClientResponse:
        """One request over TLS on a new connection; `pair` is a client's certificate, `sni` another server name."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        pair: trustme.LeafCert | None = kwargs.pop("pair", None)
        if pair is not None:
            pair.configure_cert(context)
        name = kwargs.pop("sni", host)
        method = kwargs.pop("method", "GET")
        headers = {"Host": host} | kwargs.pop("headers", {})
        url = URL(f"https://127.0.0.1:{self.https}{path}", encoded=True)
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, url, headers=headers, allow_redirects=False, ssl=context, server_hostname=name, **kwargs
            ) as answer,
        ):
            await answer.read()
            return answer

    async def fetch(self, name: str, context: ssl.SSLContext, path: str = "/") -> str:
        """The body of an answer over TLS that this context verifies."""
        url = f"https://127.0.0.1:{self.https}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, ssl=context, server_hostname=name, headers={"Host": name}) as answer,
        ):
            return await answer.text()

    async def told(self, host: str, path: str = "/", **kwargs: Any) -> dict[str, Any]:
        """What the backend says that reached it; the request must be answered with 200."""
        answer = await self.get(host, path, **kwargs)
        assert answer.status == 200, (answer.status, await answer.text())
        return dict(await answer.json())

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


def basic(user: str, password: str) -> dict[str, str]:
    """The header of basic authentication."""
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


def ports(backends: Mapping[str, Backend]) -> dict[str, int]:
    """The services that `world` wants: each backend is one, by its name."""
    return {name: backend.port for name, backend in backends.items()}


async def exchange(port: int, sent: bytes) -> bytes:
    """Send bytes and read what comes until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def eventually(check: Any, seconds: float = 60.0) -> Any:
    """Wait until a check (a coroutine function) holds; errors of a part that isn't up yet count as no."""
    ends = time.monotonic() + seconds
    while True:
        with contextlib.suppress(Exception):
            if result := await check():
                return result
        assert time.monotonic() < ends, f"{check} did not hold within {seconds} s"
        await asyncio.sleep(0.02)
