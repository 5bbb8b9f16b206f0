"""The ConfigMap's keys about clients, logs and nginx's processes, each by what somebody outside can see of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from gateway_operator.ingress.children import child_pids
from tests.nginx.harness import Backend, Gateway, eventually, exchange, ports
from tests.nginx.objects import site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


async def test_redirects_to_tls(served: Gateway, backends: dict[str, Backend]) -> None:
    """ssl-redirect and http-redirect-code hold where an Ingress says nothing; hsts false leaves the header out."""
    tls = {"tls": [(["x.test", "own.test"], "")]}
    objects = site("x.test", **tls), site("own.test", {"ssl-redirect": "true"}, **tls)
    config = {"ssl-redirect": "false", "http-redirect-code": "307", "hsts": "false"}
    await served.serve(world(*objects, services=ports(backends), config=config))
    assert await served.backend_of("x.test") == "a"
    assert await served.backend_of("own.test") == 307
    assert "Strict-Transport-Security" not in (await served.get_tls("x.test")).headers
    await served.serve(world(*objects, services=ports(backends), config={"http-redirect-code": "301"}))
    assert await served.backend_of("x.test") == 301
    assert "Strict-Transport-Security" in (await served.get_tls("x.test")).headers


async def http2_settings(served: Gateway) -> dict[int, int] | None:
    """What nginx says about HTTP/2 on a new connection over TLS (RFC 9113, 6.5); None where it doesn't speak it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    reader, writer = await asyncio.open_connection("127.0.0.1", served.https, ssl=context, server_hostname="x.test")
    try:
        if writer.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            return None
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        async with asyncio.timeout(60):
            head = await reader.readexactly(9)
            body = await reader.readexactly(int.from_bytes(head[:3]))
        assert head[3] == 4
        return dict(struct.iter_unpack("!HI", body))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_http2(served: Gateway, backends: dict[str, Backend]) -> None:
    """use-http2 offers it or not; http2-max-concurrent-streams is told to clients."""
    snapshots = [
        world(site("x.test"), services=ports(backends), config=config)
        for config in ({"http2-max-concurrent-streams": "64"}, {"use-http2": "false"}, {})
    ]
    found = []
    for snapshot in snapshots:
        await served.serve(snapshot)
        found.append(await http2_settings(served))
    streams = 3
    assert found[1] is None
    assert [(settings or {}).get(streams) for settings in found] == [64, None, 128]


async def test_sizes_of_heads(served: Gateway, backends: dict[str, Backend]) -> None:
    """A head must fit the first buffer or the large ones."""
    cases = [
        ({"large-client-header-buffers": "4 2k"}, 400),
        ({"large-client-header-buffers": "4 2k", "client-header-buffer-size": "8k"}, 200),
        ({"large-client-header-buffers": "4 4k"}, 200),
    ]
    for config, status in cases:
        await served.serve(world(site("x.test"), services=ports(backends), config=config))
        assert (await served.get("x.test", headers={"X-Large": "x" * 3000})).status == status


async def test_connections_of_clients(served: Gateway, backends: dict[str, Backend]) -> None:
    """keep-alive ends idle connections; more than max-worker-connections at once push idle ones out."""
    config = {"keep-alive": "1", "max-worker-connections": "64", "worker-processes": "1"}
    await served.serve(world(site("x.test"), services=ports(backends), config=config))
    began = len(served.log())
    request = b"GET / HTTP/1.1\r\nHost: x.test\r\n\r\n"
    async with asyncio.timeout(40):  # 75 s without the key
        assert b" 200 " in (await exchange(served.http, request)).partition(b"\r\n")[0]
    with contextlib.ExitStack() as stack:
        for _ in range(90):
            stack.enter_context(socket.create_connection(("127.0.0.1", served.http)))
        await eventually(lambda: asyncio.sleep(0, "worker_connections are not enough" in served.log()[began:]))
    await served.serve(world(site("x.test"), services=ports(backends)))
    assert await served.backend_of("x.test") == "a"


@pytest.fixture
def log_file(served: Gateway) -> Iterator[Path]:
    """A file that nginx may log to."""
    path = Path(f"/tmp/gw-error-{served.renderer}-{time.monotonic_ns()}")
    yield path
    path.unlink(missing_ok=True)


async def test_errors_are_logged(served: Gateway, backends: dict[str, Backend], log_file: Path) -> None:
    """error-log-path names the file and leads back, error-log-level says what goes there; requests can be silent."""
    objects, text = site("x.test", {"proxy-body-size": "1k"}), "client intended to send too large body"

    async def large(level: str) -> None:
        config = {"error-log-path": str(log_file), "error-log-level": level, "disable-access-log": "true"}
        await served.serve(world(objects, services=ports(backends), config=config))
        path = f"/{level}-{log_file.name}"
        assert (await served.get("x.test", path, method="POST", data=b"x" * 2000)).status == 413

    await large("crit")
    await large("error")
    await eventually(lambda: asyncio.sleep(0, f"/error-{log_file.name}" in log_file.read_text()))
    written = log_file.read_text()
    assert text in written
    assert f"/crit-{log_file.name}" not in written
    assert log_file.name not in served.log()
    await served.serve(world(objects, services=ports(backends)))
    assert (await served.get("x.test", f"/back-{log_file.name}", method="POST", data=b"x" * 2000)).status == 413
    await eventually(lambda: asyncio.sleep(0, served.log().count(f"/back-{log_file.name}") == 2))  # in both logs


def limit(pid: int) -> int:
    """How many files a process may open."""
    found = re.search(r"^Max open files\s+(\d+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


async def test_processes(served: Gateway, backends: dict[str, Backend]) -> None:
    """How many workers there are, where they may run, how many files they may open, who shares a listening socket."""

    async def workers(config: dict[str, str], number: int) -> list[int]:
        await served.serve(world(site("x.test"), services=ports(backends), config=config))
        await eventually(lambda: asyncio.sleep(0, len(child_pids(served.master)) == number))
        assert await served.backend_of("x.test") == "a"
        return child_pids(served.master)

    first = await workers({"worker-processes": "3", "worker-shutdown-timeout": "1"}, 3)
    assert all(len(os.sched_getaffinity(pid)) == len(os.sched_getaffinity(0)) for pid in first)
    config = {"worker-processes": "1", "worker-cpu-affinity": "1", "max-worker-open-files": "2048"}
    (only,) = await workers(config | {"worker-shutdown-timeout": "1"}, 1)
    assert (os.sched_getaffinity(only), limit(only)) == ({0}, 2048)
    await workers({}, 2)


@contextlib.asynccontextmanager
async def waiting(served: Gateway, backend: Backend) -> AsyncIterator[asyncio.Task[aiohttp.ClientResponse]]:
    """A request that is under way for half a minute."""
    before = len(backend.seen)
    task = asyncio.create_task(served.get("x.test", "/?wait=30", method="POST"))  # a GET would be sent anew
    await eventually(lambda: asyncio.sleep(0, len(backend.seen) > before))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_end_of_old_workers(served: Gateway, backends: dict[str, Backend]) -> None:
    """A reload waits for requests that are under way, but no longer than worker-shutdown-timeout."""
    for timeout, ends in (("1", True), ("50", False)):
        config = {"worker-shutdown-timeout": timeout}
        await served.serve(world(site("x.test"), services=ports(backends), config=config))
        async with waiting(served, backends["a"]) as task:
            await served.serve(world(site("x.test"), services=ports(backends), config={"keep-alive-requests": "77"}))
            done, _ = await asyncio.wait([task], timeout=20 if ends else 2)
            assert bool(done) is ends
            assert not ends or isinstance(task.exception(), aiohttp.ClientError)
