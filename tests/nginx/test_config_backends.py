"""The ConfigMap's keys about backends, for Ingresses that say nothing: time-outs, sizes, tries, connections."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.nginx.harness import Backend, Gateway, eventually, ports, renderer_of
from tests.nginx.objects import site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")
ALL = ("/", "Prefix", "all")
LARGE = f"/?h.X-Large={'x' * 3500}&h.Y-Large={'y' * 3500}"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that nobody accepts connections on: its queue is full, so that a SYN gets no answer."""
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(socket.socket())
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(door.getsockname())
        yield door.getsockname()[1]


async def test_time_to_connect(served: Gateway, silent: int) -> None:
    """proxy-connect-timeout ends an attempt, an Ingress's own one wins, and without either it is a second."""
    short, long = {"proxy-connect-timeout": "100ms"}, {"proxy-connect-timeout": "50"}
    here = ("/", "Prefix", "silent")
    services = {"silent": silent}
    for config, patient, hasty in ((short, long, {}), (long, {}, short), ({}, long, {})):
        objects = site("patient.test", patient, here), site("hasty.test", hasty, here)
        await served.serve(world(*objects, services=services, config=config))
        waiting = asyncio.create_task(served.get("patient.test"))
        async with asyncio.timeout(25):
            assert (await served.get("hasty.test")).status == 504
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


@pytest.fixture
async def deaf() -> AsyncIterator[int]:
    """A port whose connections are accepted, but never read from."""
    done = asyncio.Event()

    async def ignore(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await done.wait()
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0, limit=4096)
    yield server.sockets[0].getsockname()[1]
    done.set()
    server.close()
    await asyncio.sleep(0.01)


async def test_time_to_send_and_to_wait(served: Gateway, backends: dict[str, Backend], deaf: int) -> None:
    """proxy-send-timeout is about a backend that reads nothing, proxy-read-timeout about one that says nothing."""
    config = {"proxy-send-timeout": "1", "proxy-body-size": "0", "proxy-next-upstream": "off"}
    objects = site("x.test"), site("deaf.test", {}, ("/", "Prefix", "deaf"))
    services = ports(backends) | {"deaf": deaf}
    await served.serve(world(*objects, services=services, config=config | {"proxy-read-timeout": "50"}))
    async with asyncio.timeout(40):
        assert (await served.get("deaf.test", method="POST", data=io.BytesIO(b"x" * (16 << 20)))).status == 504
    assert (await served.get("x.test", "/?wait=1.5")).status == 200
    await served.serve(world(*objects, services=services, config=config | {"proxy-read-timeout": "1"}))
    assert (await served.get("x.test", "/?wait=2.5")).status == 504


async def test_sizes(served: Gateway, backends: dict[str, Backend]) -> None:
    """Bodies of requests and heads of answers may be as large as the ConfigMap says."""
    config = {"proxy-body-size": "1k", "proxy-buffer-size": "8k", "proxy-buffers-number": "3"}
    config["proxy-busy-buffers-size"] = "16k"
    objects = site("x.test"), site("own.test", {"proxy-body-size": "3k", "proxy-buffer-size": "4k"})
    await served.serve(world(*objects, services=ports(backends), config=config))
    bodies = dict.fromkeys((("x.test", 1000), ("own.test", 2000)), 200)
    bodies |= dict.fromkeys((("x.test", 2000), ("own.test", 4000)), 413)
    found = {key: (await served.get(key[0], method="POST", data=b"x" * key[1])).status for key in bodies}
    assert found == bodies
    assert [(await served.get(host, LARGE)).status for host in ("x.test", "own.test")] == [200, 502]


async def test_what_is_written_to_files(served: Gateway, backends: dict[str, Backend]) -> None:
    """Bodies that fit client-body-buffer-size stay in memory; answers do where proxy-max-temp-file-size is 0."""
    config = {"client-body-buffer-size": "2k", "proxy-buffering": "on"}
    objects = site("x.test"), site("own.test", {"client-body-buffer-size": "64k", "proxy-max-temp-file-size": "0"})

    def told(what: str, path: str) -> bool:
        return any(what in line and path in line for line in served.log().splitlines())

    async def slow(host: str, path: str, rest: Callable[[], Awaitable[Any]]) -> None:
        """Ask for a large answer and read it after a rest."""
        reader, writer = await asyncio.open_connection("127.0.0.1", served.http, limit=4096)
        writer.write(f"GET {path}?pad=12000000 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        await rest()
        async with asyncio.timeout(60):
            while await reader.read(1 << 20):
                pass
        writer.close()

    for mine, hosts in ((config, ("x.test", "own.test")), ({**config, "client-body-buffer-size": "32k"}, ("x.test",))):
        await served.serve(world(*objects, services=ports(backends), config=mine))
        for host in hosts:
            path = f"/{host}-{served.renderer}-{mine['client-body-buffer-size']}"
            await served.get(host, path, method="POST", data=b"x" * 20_000)
    await served.logged(f"/x.test-{served.renderer}-2k")
    body = "request body is buffered to a temporary file"
    assert told(body, f"/x.test-{served.renderer}-2k")
    assert not told(body, f"/own.test-{served.renderer}-2k")
    assert not told(body, f"/x.test-{served.renderer}-32k")

    answer = "upstream response is buffered to a temporary file"
    wide = f"/wide-{served.renderer}"
    await asyncio.gather(
        slow("x.test", wide, lambda: eventually(lambda: asyncio.sleep(0, told(answer, wide)))),
        slow("own.test", f"/own-{served.renderer}", lambda: asyncio.sleep(1.5)),
    )
    assert not told(answer, f"/own-{served.renderer}")
    await served.serve(
        world(*objects, services=ports(backends), config=config | {"proxy-max-temp-file-size": "0"}),
    )
    await slow("x.test", f"/none-{served.renderer}", lambda: asyncio.sleep(1.5))
    assert not told(answer, f"/none-{served.renderer}")


async def test_bodies_that_are_passed_on_at_once(served: Gateway) -> None:
    """With proxy-request-buffering off a backend is asked before the body is whole; an Ingress can want it whole."""
    asked: Counter[str] = Counter()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked["early" if b"/early" in head else "late"] += 1
        await reader.read(1 << 16)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    here = ("/", "Prefix", "s")
    objects = site("x.test", {}, here), site("whole.test", {"proxy-request-buffering": "on"}, here)
    services = {"s": server.sockets[0].getsockname()[1]}
    await served.serve(world(*objects, services=services, config={"proxy-request-buffering": "off"}))
    writers = []
    for host, path in (("whole.test", "/late"), ("x.test", "/early")):
        _, writer = await asyncio.open_connection("127.0.0.1", served.http)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\nabc".encode())
        writers.append(writer)
    await eventually(lambda: asyncio.sleep(0, asked["early"]))
    assert asked == {"early": 1}
    writers[0].write(b"defghi")
    await eventually(lambda: asyncio.sleep(0, asked["late"]))
    for writer in writers:
        writer.close()
    server.close()


async def test_tries(served: Gateway, backends: dict[str, Backend]) -> None:
    """proxy-next-upstream-tries and -timeout limit how often and how long others are asked."""
    base = {"proxy-next-upstream": "error timeout http_503"}
    services = {"all": [backend.port for backend in backends.values()]}

    async def asked(path: str, config: dict[str, str]) -> int:
        await served.serve(world(site("x.test", {}, ALL), services=services, config=base | config))
        for backend in backends.values():
            backend.seen.clear()
        assert (await served.get("x.test", path)).status == 503
        return sum(len(backend.seen) for backend in backends.values())

    assert await asked("/?status=503", {"proxy-next-upstream-tries": "1"}) == 1
    assert await asked("/?status=503", {"proxy-next-upstream-tries": "2"}) == 2
    assert await asked("/?status=503&wait=1.2", {"proxy-next-upstream-timeout": "1"}) == 1


async def test_error_pages_that_are_switched_off(served: Gateway, backends: dict[str, Backend]) -> None:
    """disable-proxy-intercept-errors leaves backends their own words, but for an Ingress that wants it otherwise."""
    config = {"custom-http-errors": "418", "disable-proxy-intercept-errors": "true"}
    objects = site("x.test"), site("on.test", {"disable-proxy-intercept-errors": "false"})
    await served.serve(world(*objects, services=ports(backends), config=config), default_backend="apps/b")
    found = [json.loads(await (await served.get(host, "/?status=418")).text()) for host in ("x.test", "on.test")]
    assert [item["backend"] for item in found] == ["a", "b"]


async def test_algorithm(served: Gateway, backends: dict[str, Backend]) -> None:
    """load-balance is every Ingress's algorithm: with least_conn a busy endpoint is left alone, ewma static hasn't."""
    config = {"load-balance": "least_conn", "worker-processes": "1"}
    two = {"all": [backends["a"].port, backends["b"].port]}
    await served.serve(world(site("x.test", {}, ALL), services=two, config=config))
    held = asyncio.create_task(served.told("x.test", "/?hold"))
    await eventually(lambda: asyncio.sleep(0, any(backend.seen for backend in backends.values())))
    found = {await served.backend_of("x.test", f"/{number}") for number in range(8)}
    for backend in backends.values():
        backend.let_go.set()
    busy = (await held)["backend"]
    assert found == {"a", "b"} - {busy}
    _, compiled = served.compile(world(site("x.test", {}, ALL), services=two, config={"load-balance": "ewma"}))
    told = renderer_of(served.renderer).unsupported(compiled.plan)
    assert bool(told) is (served.renderer == "static")


async def peers(served: Gateway, number: int, *, pause: float = 0.0) -> list[int]:
    """The gateway's ports of requests to the backend, one after the other."""
    found = []
    for _ in range(number):
        found.append((await served.told("x.test"))["peer"])
        await asyncio.sleep(pause)
    return found


async def test_kept_connections(served: Gateway, backends: dict[str, Backend]) -> None:
    """Connections to backends serve as many requests, and rest as long, as upstream-keepalive-* say."""

    async def used(number: int, config: dict[str, str], pause: float = 0.0) -> int:
        snapshot = world(site("x.test"), services=ports(backends), config={"worker-processes": "1"} | config)
        await served.serve(snapshot)
        return len(set(await peers(served, number, pause=pause)))

    assert await used(6, {}) == 1
    assert await used(4, {"upstream-keepalive-connections": "0"}) == 4
    assert await used(4, {"upstream-keepalive-requests": "2"}) == 2
    assert await used(2, {"upstream-keepalive-timeout": "1"}, 1.6) == 2
    if served.renderer == "static":  # the other one keeps connections in a way of its own: docs/spec/dynamic.md
        assert await used(3, {"upstream-keepalive-time": "1"}, 1.1) >= 2
