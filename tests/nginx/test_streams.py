"""Ports that are passed on as streams, and TLS that goes to its backend unopened."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import trustme

from tests.nginx.harness import Backend, Gateway, eventually, free_port, ports
from tests.nginx.objects import secret, site, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


class Lines:
    """A TCP server that answers each line with its name and the line, after the PROXY header that may come first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and end the connections that are still open."""
        self._server.close()
        while self._open:
            writer = self._open.pop()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            await asyncio.sleep(0)  # a connection that was just accepted comes in here

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        while line := await reader.readline():
            writer.write(self.name.encode() + b":" + line)
        writer.close()


class Echo(asyncio.DatagramProtocol):
    """A UDP server that sends back what it gets."""

    def connection_made(self, transport: Any) -> None:
        """Remember the way back."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer."""
        self.transport.sendto(b"echo:" + data, addr)


def with_cluster_ip(snapshot: Any, name: str, protocol: str, port: int) -> Any:
    """Give a Service an address of its own, which streams go to."""
    service = snapshot.services[("apps", name)]
    service["spec"] = {"clusterIP": "127.0.0.1", "ports": [{"name": "p", "port": port, "protocol": protocol}]}
    return snapshot


async def lines(port: int, *sent: bytes) -> list[bytes]:
    """Send lines over TCP and read as many back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"".join(sent))
        async with asyncio.timeout(60):
            return [await reader.readline() for _ in sent]
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def tcp() -> AsyncIterator[Lines]:
    """A TCP server."""
    server = Lines("tcp")
    await server.start()
    yield server
    await server.stop()


async def test_tcp_ports(served: Gateway, tcp: Lines) -> None:
    """Bytes go both ways; the PROXY protocol is read from clients and sent to the Service where asked for."""
    plain, sending, both = free_port(), free_port(), free_port()
    entries = {
        str(plain): f"apps/tcp:{tcp.port}",
        str(sending): f"apps/tcp:{tcp.port}::PROXY",
        str(both): f"apps/tcp:{tcp.port}:PROXY:PROXY",
    }
    await served.serve(with_cluster_ip(world(services={"tcp": tcp.port}, tcp=entries), "tcp", "TCP", tcp.port))
    assert await lines(plain, b"one\n", b"two\n") == [b"tcp:one\n", b"tcp:two\n"]
    found = await lines(sending, b"one\n", b"two\n")
    assert found[0].startswith(b"tcp:PROXY TCP4 127.0.0.1 127.0.0.1 ")
    assert found[1] == b"tcp:one\n"
    found = await lines(both, b"PROXY TCP4 6.6.6.6 7.7.7.7 1234 80\r\n", b"one\n")
    assert found[0].startswith(b"tcp:PROXY TCP4 6.6.6.6 ")


async def test_udp_ports(served: Gateway) -> None:
    """Datagrams are answered."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    port, public = transport.get_extra_info("sockname")[1], free_port()
    snapshot = world(services={"udp": port}, udp={str(public): f"apps/udp:{port}"})
    await served.serve(with_cluster_ip(snapshot, "udp", "UDP", port))
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _addr: Any) -> None:
            answers.put_nowait(data)

    client, _ = await loop.create_datagram_endpoint(Client, remote_addr=("127.0.0.1", public))

    async def answered() -> bool:
        client.sendto(b"hello")
        async with asyncio.timeout(5):
            return await answers.get() == b"echo:hello"

    await eventually(answered)
    client.close()
    transport.close()


@pytest.fixture
async def secure() -> AsyncIterator[tuple[Backend, trustme.CA]]:
    """A backend that ends TLS itself, with its own authority."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("pass.test", "wild.pass.test").configure_cert(context)
    backend = Backend("own", context)
    await backend.start()
    yield backend, authority
    await backend.stop()


async def test_ssl_passthrough(
    served: Gateway, backends: dict[str, Backend], secure: tuple[Backend, trustme.CA], authority: trustme.CA
) -> None:
    """A name goes to its backend unopened; other names end here, and know their clients' addresses."""
    issued = authority.issue_cert("x.test")
    pair = b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()
    services: Mapping[str, Any] = ports(backends) | {"own": secure[0].port}
    snapshot = world(
        site("pass.test", {"ssl-passthrough": "true"}, ("/", "Prefix", "own")),
        site("x.test", {}, ("/", "Prefix", "a"), tls=[(["x.test"], "s")]),
        site("in.test", {"allowlist-source-range": "127.0.0.1", "ssl-redirect": "false"}),
        services=services,
        secrets=[secret("s", *pair)],
    )
    try:
        await served.serve(snapshot, passthrough=True)
        own = ssl.create_default_context()
        secure[1].configure_trust(own)
        assert json.loads(await served.fetch("pass.test", own))["backend"] == "own"
        ours = ssl.create_default_context()
        authority.configure_trust(ours)
        told = json.loads(await served.fetch("x.test", ours))
        assert (told["backend"], told["headers"]["X-Real-IP"]) == ("a", "127.0.0.1")
        assert (told["headers"]["X-Forwarded-Port"], told["headers"]["X-Forwarded-Proto"]) == ("443", "https")
        assert (await served.get_tls("in.test")).status == 200
        assert (await served.get("x.test", "/p")).headers["Location"] == "https://x.test/p"
    finally:
        await served.serve(world())


async def test_passthrough_needs_its_flag(served: Gateway, secure: tuple[Backend, trustme.CA]) -> None:
    """Without the flag TLS ends here, and the Ingress is told."""
    graph = await served.serve(
        world(
            site("pass.test", {"ssl-passthrough": "true", "backend-protocol": "HTTPS"}, ("/", "Prefix", "own")),
            services={"own": secure[0].port},
        )
    )
    assert any("ssl-passthrough" in problem.field for problem in graph.problems)
    assert (await served.get_tls("pass.test")).status == 200
    assert served.certificate("pass.test") == served.certificate("unknown.test")
