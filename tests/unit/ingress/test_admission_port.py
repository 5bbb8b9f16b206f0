"""The webhook's port with real TLS clients: big bodies, slow ones, many at once, and a certificate that changes."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from gateway_operator.ingress.admission.certificates import ServingPair, make
from gateway_operator.ingress.admission.index import PathIndex
from gateway_operator.ingress.admission.judge import Judge
from gateway_operator.ingress.admission.role import counting
from gateway_operator.ingress.admission.server import PATH, AdmissionServer, Limits
from gateway_operator.ingress.admission.serving import ServingContext, follow_files
from gateway_operator.ingress.applied import AppliedState
from gateway_operator.ingress.checks import Checks
from gateway_operator.ingress.metrics import Metrics, NginxNumbers
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.parse import parse_ingress
from gateway_operator.ingress.server import make_app
from lab.control import free_ports
from tests.nginx.objects import ingress, rule

Check = Callable[[], Awaitable[bool]]
LIFE = dt.timedelta(days=1)
KIND = {"group": "networking.k8s.io", "version": "v1", "kind": "Ingress"}


async def eventually(check: Check) -> None:
    """Wait until a check holds."""
    async with asyncio.timeout(60):
        while not await check():
            await asyncio.sleep(0.02)


def pair() -> tuple[bytes, ServingPair]:
    """An authority and a certificate for loopback."""
    return make(("127.0.0.1",), dt.datetime.now(dt.UTC), LIFE)


def review(path: str = "/", **request: Any) -> dict[str, Any]:
    """A review of an Ingress with one path."""
    obj = ingress("x", rule("a.test", (path, "Prefix", "web")))
    body = {"uid": "u1", "operation": "CREATE", "kind": KIND, "object": obj} | request
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": body}


class Port:
    """A webhook that listens, and what it counted."""

    def __init__(self, limits: Limits) -> None:
        (self.number,) = free_ports(1)
        self.outcomes: list[str] = []
        self.serving = ServingContext()
        self.authority, first = pair()
        self.serving.show(first)
        self.metrics = Metrics(controller_class="c", namespace="n", pod="p", version="1")
        judge = Judge(PathIndex(), is_ours=lambda obj: obj["metadata"]["name"] != "theirs", parse=parse_ingress)
        self.server = AdmissionServer(
            lambda: judge,
            lambda outcome, _seconds: self.outcomes.append(outcome),
            limits,
            checked=counting(self.metrics),
        )

    @property
    def url(self) -> str:
        """Where reviews are sent."""
        return f"https://127.0.0.1:{self.number}{PATH}"

    def client(self) -> ssl.SSLContext:
        """A client that trusts this port's first authority only."""
        return ssl.create_default_context(cadata=self.authority.decode())

    async def ask(self, data: Any) -> tuple[int, str]:
        """Send a body on a connection of its own; returns status and text."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        connector = aiohttp.TCPConnector(ssl=self.client())
        async with aiohttp.ClientSession(connector=connector) as session, session.post(self.url, data=body) as answer:
            return answer.status, await answer.text()


@contextlib.asynccontextmanager
async def listening(limits: Limits) -> AsyncIterator[Port]:
    """A port for as long as the block."""
    port = Port(limits)
    task = asyncio.create_task(port.server.listen("127.0.0.1", port.number, port.serving))
    try:
        await asyncio.wait_for(port.server.listening.wait(), 60)
        yield port
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    """A port with small limits."""
    async with listening(Limits(body=100_000, seconds=60.0, at_once=4)) as made:
        yield made


async def test_answers(port):
    """Good Ingresses pass, bad ones don't, and everything else is told what it is."""
    status, text = await port.ask(review())
    assert (status, json.loads(text)["response"]["allowed"]) == (200, True)
    status, text = await port.ask(review("/a;b"))
    assert (status, json.loads(text)["response"]["allowed"]) == (200, False)
    assert await port.ask(b"hello") == (400, "the body is no JSON\n")
    odd = {"metadata": {"name": "x", "namespace": "y", "annotations": 5}, "spec": {"rules": "abc"}}
    status, text = await port.ask(review(object=odd))
    assert (status, text) == (400, "the request's object doesn't have the form of an Ingress\n")
    assert port.outcomes == ["allowed", "denied", "failed", "failed"]
    assert (await port.ask(review()))[0] == 200


async def scraped(metrics: Metrics, name: str) -> dict[tuple[str, str], float]:
    """What the controller's port says of one metric, by namespace and Ingress."""

    async def numbers() -> NginxNumbers:
        return NginxNumbers()

    async def ready() -> str:
        return ""

    app = make_app(IngressOptions(), metrics, AppliedState(), why_not_ready=ready, numbers=numbers)
    async with TestClient(TestServer(app)) as client:
        text = await (await client.get("/metrics")).text()
    assert f"\n{name}{{" in text or f"# TYPE {name} " not in text  # upstream's name has no _total
    found = [one for family in text_string_to_metric_families(text) for one in family.samples if family.name == name]
    assert all(one.labels["controller_pod"] == "p" for one in found)
    return {(one.labels["namespace"], one.labels["ingress"]): one.value for one in found}


async def test_checks_are_counted(port):
    """By Ingress, as upstream does; neither what isn't ours, nor what is left as it was, nor a deletion counts."""
    success, errors = (f"nginx_ingress_controller_check_{name}" for name in ("success", "errors"))
    assert await scraped(port.metrics, success) == {}
    obj = review()["request"]["object"]
    theirs = {**obj, "metadata": obj["metadata"] | {"name": "theirs"}}
    bodies = [review(), review(), review("/a;b"), review(object=theirs), review(oldObject=obj)]
    bodies += [review(operation="DELETE", object=None, oldObject=obj), b"hello"]
    for body in bodies:
        await port.ask(body)
    assert await scraped(port.metrics, success) == {("apps", "x"): 2}
    assert await scraped(port.metrics, errors) == {("apps", "x"): 1}


async def test_few_checks_are_remembered():
    """However many names are checked, only the last ones have series."""
    checks = Checks({}, most=3)
    for number in range(10):
        checks.count("apps", f"x{number}", ok=bool(number % 2))
        checks.count("apps", "often", ok=True)
    text = "".join(checks.lines())
    assert text.count("nginx_ingress_controller_check_success{") == 2
    assert text.count("nginx_ingress_controller_check_errors{") == 1
    assert 'ingress="often"} 10\n' in text


async def test_big_bodies(port):
    """A body above the limit is refused, whether it says so before or not, and the port goes on."""
    assert (await port.ask(b"x" * 100_001))[0] == 413

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 1000

    with contextlib.suppress(
        aiohttp.ClientError
    ):  # the answer may come before the body's end, which then can't be sent
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=port.client())) as session,
            session.post(port.url, data=chunks()) as answer,
        ):
            assert answer.status == 413
    assert (await port.ask(review()))[0] == 200


@pytest.fixture
async def hasty() -> AsyncIterator[Port]:
    """A port that waits a second for a body."""
    async with listening(Limits(body=100_000, seconds=1.0, at_once=4)) as made:
        yield made


async def test_slow_clients(hasty):
    """Whoever sends a body slowly is cut off, and as many as may be at work at once don't keep others out for long."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode()
    slow = [await asyncio.open_connection("127.0.0.1", hasty.number, ssl=hasty.client()) for _ in range(4)]
    for _, writer in slow:
        writer.write(head)
        await writer.drain()

    async def served() -> bool:
        return (await hasty.ask(review()))[0] == 200

    await eventually(served)
    for reader, writer in slow:
        assert b" 408 " in await asyncio.wait_for(reader.read(), 60)
        writer.close()


async def test_too_many_connections():
    """Whoever holds many connections open gets no more of them; when they end, others are served."""
    async with listening(Limits(connections=3)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port.number, ssl=port.client()) for _ in range(3)]
        with pytest.raises((aiohttp.ClientError, OSError)):
            await port.ask(review())
        for _, writer in held:
            writer.close()

        async def served() -> bool:
            try:
                return (await port.ask(review()))[0] == 200
            except (aiohttp.ClientError, OSError):
                return False

        await eventually(served)


async def test_a_port_that_is_taken():
    """It is an error that the caller can try again with the same server."""
    async with listening(Limits()) as port:
        other = AdmissionServer(port.server._make_judge, lambda _outcome, _seconds: None)
        with pytest.raises(OSError, match="address already in use"):
            await other.listen("127.0.0.1", port.number, port.serving)
    port.server = other
    task = asyncio.create_task(other.listen("127.0.0.1", port.number, port.serving))
    try:
        await asyncio.wait_for(other.listening.wait(), 60)
        assert (await port.ask(review()))[0] == 200
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_certificates_change_under_connections(port):
    """A connection goes on through an exchange, new ones see the new certificate, and a bad pair changes nothing."""
    old = port.authority
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=port.client())) as session,
        session.post(port.url, json=review()) as answer,
    ):
        assert answer.status == 200
        port.authority, second = pair()
        port.serving.show(second)
        async with session.post(port.url, json=review()) as again:
            assert again.status == 200
    assert (await port.ask(review()))[0] == 200
    port.serving.show(ServingPair(second.certificate, pair()[1].key))
    assert (await port.ask(review()))[0] == 200
    port.authority = old
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await port.ask(review())


async def test_certificates_in_files(tmp_path):
    """Files that come later, and change as kubelet changes them, are followed."""
    serving = ServingContext()
    certificate, key = tmp_path / "cert", tmp_path / "key"
    task = asyncio.create_task(follow_files(certificate, key, serving, look_every=0.02))
    try:
        for made in (pair()[1], pair()[1]):
            certificate.write_bytes(made.certificate)
            key.write_bytes(made.key)

            async def shown(expected: ServingPair = made) -> bool:
                return serving.ready.is_set() and serving._shown == expected

            await eventually(shown)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
