"""A bare nginx with the dynamic renderer's text and data, without supervisor and controller: plans go straight in."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from gateway_operator.ingress.children import child_pids, is_accepting, listeners
from gateway_operator.ingress.delivery import Delivery
from gateway_operator.ingress.plan import (
    Certificate,
    Endpoint,
    Labels,
    Machine,
    Plan,
    Route,
    Server,
    Settings,
    Upstream,
)
from gateway_operator.ingress.planner import read_config
from gateway_operator.ingress.policies import Balancing
from gateway_operator.ingress.problems import Ref
from gateway_operator.ingress.render.dynamic import Cache, Rendered, render, version_file
from tests.nginx.harness import FAKE, Backend, eventually, free_port

LUA = Path(__file__).parents[2] / "gateway_operator/ingress/lua"
CONFIG = Ref("ConfigMap", "gw", "config", "", "v1")


def settings(**config: str) -> Settings:
    """The settings of a ConfigMap; names with underscores."""
    return read_config({key.replace("_", "-"): value for key, value in config.items()}, CONFIG).settings


def upstream(name: str, *backends: Backend | int, balancing: Balancing | None = None, weights: Any = ()) -> Upstream:
    """An upstream of backends (or ports) on loopback."""
    ports = [item if isinstance(item, int) else item.port for item in backends]
    shares = [*weights, *[1] * (len(ports) - len(weights))]
    found = [Endpoint("127.0.0.1", port, weight) for port, weight in zip(ports, shares, strict=True)]
    return Upstream(name, tuple(found), balancing or Balancing())


def route(path: str, target: str | None, *, exact: bool = False, **more: Any) -> Route:
    """A route to the upstream of that name."""
    return Route(path, exact, target, labels=Labels("apps", "web", target or "gone", "80"), **more)


def server(host: str, *routes: Route, **more: Any) -> Server:
    """A host; `/` gives 404 unless it has a route."""
    found = list(routes)
    if not any(item.path == "/" and not item.exact for item in found):
        found.append(Route("/", False, None, 404))
    return Server(f"id{abs(hash(host))}", host, tuple(sorted(found, key=lambda item: item.sort_key)), **more)


class Nginx:
    """nginx with one plan after the other."""

    def __init__(self, folder: Path, binary: Path, modules: Path) -> None:
        self.folder, self.binary = folder, binary
        self.machine = Machine(
            free_port(), free_port(), free_port(), cpus=1, run_dir=str(folder), modules=str(modules), lua=str(LUA)
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.delivery = Delivery(folder)
        self.cache = Cache()
        self.generations = 0
        self.rendered: Rendered | None = None
        (folder / "tmp").mkdir(exist_ok=True)

    def plan(self, *items: Server | Upstream, certificates: tuple[Certificate, ...] = (), **more: Any) -> Plan:
        """A plan of servers and upstreams; a default server that answers 404 is added."""
        servers = [item for item in items if isinstance(item, Server)]
        if not any(item.host == "" for item in servers):
            servers.append(server(""))
        chosen = more.pop("settings", None) or settings()
        machine = dataclasses.replace(self.machine, **more.pop("machine", {}))
        return Plan(
            machine,
            chosen,
            tuple(sorted(servers, key=lambda item: item.host)),
            tuple(item for item in items if isinstance(item, Upstream)),
            (FAKE.certificate, *certificates),
            FAKE.certificate.id,
            **more,
        )

    async def serve(self, *items: Server | Upstream, **more: Any) -> Rendered:
        """Bring nginx to a plan; new text means a reload, as the supervisor does it."""
        return await self.take(self.plan(*items, **more))

    async def take(self, plan: Plan) -> Rendered:
        """Bring nginx to a plan."""
        rendered = render(plan, self.cache)
        if self.rendered is None or rendered.files != self.rendered.files:
            await self._load(rendered)
        await self.delivery.bring(rendered.data)
        self.rendered = rendered
        return rendered

    async def _load(self, rendered: Rendered) -> None:
        self.generations += 1
        target = self.folder / f"gen-{self.generations}"
        for name, content in {**rendered.files, "version.conf": version_file(str(self.generations))}.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(content)
        for name in ("profiles", "pools"):
            (target / name).mkdir(exist_ok=True)
        aside = self.folder / "current.new"
        aside.symlink_to(target.name)
        aside.rename(self.folder / "current")
        argv = [str(self.binary), "-p", f"{self.folder}/tmp", "-c", f"{self.folder}/current/nginx.conf"]
        tested = subprocess.run([*argv, "-t"], capture_output=True, text=True, check=False)
        assert tested.returncode == 0, tested.stderr
        if self.process is None:
            (self.folder / "data.sock").unlink(missing_ok=True)
            log = (self.folder / "log").open("ab")
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
            log.close()
            old: list[int] = []
            sockets: dict[str, str] = {}
        else:
            old, sockets = child_pids(self.process.pid), listeners(self.process.pid)
            self.process.send_signal(signal.SIGHUP)

        async def ready() -> bool:
            return await self._is_new() and not any(is_accepting(pid, sockets) for pid in old)

        try:
            await eventually(ready)
        except AssertionError:
            raise AssertionError(self.log()) from None
        self.delivery.doubt()

    async def _is_new(self) -> bool:
        url = f"http://127.0.0.1:{self.machine.status_port}/configuration-version"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text() == str(self.generations)

    async def stop(self) -> None:
        """End nginx; a line about an error of Lua in its log fails the test."""
        if self.process is not None:
            self.process.terminate()
            await asyncio.to_thread(self.process.wait, 10)
            self.process = None

    def log(self) -> str:
        """What nginx wrote."""
        return (self.folder / "log").read_text(errors="replace")

    async def get(self, host: str, path: str = "/", *, tls: bool = False, **kwargs: Any) -> aiohttp.ClientResponse:
        """One request on a new connection; redirects are not followed."""
        method = kwargs.pop("method", "GET")
        headers = {"Host": host} | kwargs.pop("headers", {})
        port = self.machine.https_port if tls else self.machine.http_port
        url = URL(f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}", encoded=True)
        if tls:
            kwargs |= {"ssl": kwargs.get("ssl", False), "server_hostname": kwargs.get("server_hostname", host)}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, headers=headers, allow_redirects=False, **kwargs) as answer,
        ):
            await answer.read()
            return answer

    async def backend_of(self, host: str, path: str = "/", **kwargs: Any) -> str | int:
        """The name of the backend that answers, or the status that nginx gives."""
        answer = await self.get(host, path, **kwargs)
        return (await answer.json())["backend"] if answer.status == 200 else answer.status
