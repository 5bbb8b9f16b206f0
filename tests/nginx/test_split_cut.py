"""A member's network is cut without a word, under traffic: probes find it, nobody waits, and it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from gateway_operator.ingress.connects import Verdict, connect_all
from gateway_operator.ingress.plan import Endpoint
from gateway_operator.ingress.snapshot import Snapshot
from tests.nginx.conftest import running
from tests.nginx.controlled import Controlled, controlled
from tests.nginx.harness import Backend, Gateway, eventually, free_port
from tests.nginx.policies import backend, members, mirror, path, policy

pytestmark = [
    pytest.mark.usefixtures("local_addresses_allowed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]
SERVER = """
import asyncio
from tests.nginx.harness import Backend
async def main():
    backend = Backend("far")
    await backend.start()
    print(backend.port, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
RULES = """\
table ip cut
delete table ip cut
table ip cut {{
  chain into {{
    type filter hook prerouting priority raw; policy {};
  }}
}}
"""


@dataclass
class Far:
    """A backend in a network of its own, and the cable to it."""

    namespace: str
    near: str
    address: str
    port: int = 0

    def cable(self, policy: str) -> None:
        """Let everything pass (`accept`) or lose everything (`drop`)."""
        argv = ["ip", "netns", "exec", self.namespace, "nft", "-f", "-"]
        subprocess.run(argv, input=RULES.format(policy), text=True, check=True)


@pytest.fixture
def far(far_away: Far) -> Iterator[Far]:
    """The backend `far`; a test may cut its cable."""
    far_away.cable("accept")
    yield far_away
    far_away.cable("accept")


@pytest.fixture(scope="module")
def far_away() -> Iterator[Far]:
    """A backend behind a virtual cable."""
    number = next(
        n for n in range(250) if not subprocess.run(["ip", "netns", "add", f"gwt{n}"], check=False).returncode
    )
    name, net = f"gwt{number}", f"10.213.{number}"
    found = Far(name, f"{net}.1", f"{net}.2")
    steps = f"""
        link add gwh{number} type veth peer name gwn{number} netns {name}
        addr add {net}.1/30 dev gwh{number}
        link set gwh{number} up
        -n {name} addr add {net}.2/30 dev gwn{number}
        -n {name} link set gwn{number} up
    """
    with contextlib.ExitStack() as stack:
        stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
        stack.callback(subprocess.run, ["ip", "link", "del", f"gwh{number}"], check=False)
        for step in steps.strip().splitlines():
            subprocess.run(["ip", *step.split()], check=True)
        argv = ["ip", "netns", "exec", name, sys.executable, "-c", SERVER]
        process = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
        stack.callback(process.terminate)
        assert process.stdout is not None
        found.port = int(process.stdout.readline())
        yield found


@pytest.fixture
def gateway(nginx_binary: Path, renderer: str) -> Iterator[Gateway]:
    """A gateway of this test alone, once for each renderer."""
    with running(nginx_binary, renderer) as found:
        yield found


def placed(snapshot: Snapshot, cluster: str, address: str) -> Snapshot:
    """The snapshot with a cluster's endpoints at another address."""
    for item in snapshot.slices["apps", mirror("tea", cluster)]:
        item["endpoints"][0]["addresses"] = [address]  # type: ignore[index]
    return snapshot


@dataclass
class Load:
    """Requests that go on all the time: what answered since the last look."""

    seen: Counter[str]


@contextlib.asynccontextmanager
async def load(gateway: Gateway, per_second: int = 100) -> AsyncIterator[Load]:
    """Send GETs at a steady pace."""
    found, running_ = Load(Counter()), True

    async def one(session: aiohttp.ClientSession) -> None:
        url = f"http://127.0.0.1:{gateway.http}/tea"
        try:
            async with session.get(url, headers={"Host": "x.test"}) as answer:
                text = (await answer.json())["backend"] if answer.status == 200 else str(answer.status)
        except aiohttp.ClientError as error:
            text = type(error).__name__
        found.seen[text] += 1

    async def pace() -> None:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            while running_:
                group.create_task(one(session))
                await asyncio.sleep(1 / per_second)

    task = asyncio.create_task(pace())
    try:
        yield found
    finally:
        running_ = False
        await task


async def only(found: Load, names: set[str], count: int = 60) -> None:
    """Wait until the next so many answers came from these alone, and from each of them."""

    async def check() -> bool:
        found.seen.clear()
        while found.seen.total() < count:
            await asyncio.sleep(0.05)
        return set(found.seen) == names

    await eventually(check)


async def said(running: Controlled, reasons: dict[str, str]) -> None:
    """Wait until `/traffic` has these reasons for the clusters of the one path."""

    async def check() -> bool:
        (found,) = running.controller.traffic.as_json()["paths"]
        return {item["name"]: item["reason"] for item in found["clusters"]} == reasons

    await eventually(check)


async def test_a_silent_cut(gateway: Gateway, far: Far, backends: dict[str, Backend]) -> None:
    """No GET fails, requests under way end too (dynamic), the share moves to the other cluster and comes back."""
    paths = [policy("p", path("x.test/tea", backend({"wuhan": 50, "zhuhai": 50})))]
    snapshot = placed(members(paths, {"wuhan": far.port, "zhuhai": backends["b"].port}), "wuhan", far.address)
    async with controlled(gateway, snapshot) as running, load(gateway) as found:
        await only(found, {"far", "b"})
        backends["b"].let_go.set()  # the other one holds these for ever
        waiting = [asyncio.create_task(gateway.backend_of("x.test", "/tea?hold")) for _ in range(6)]
        await asyncio.sleep(0.5)
        far.cable("drop")
        await only(found, {"b"})
        await said(running, {"wuhan": "Unreachable", "zhuhai": ""})
        assert f"{far.address}:{far.port}" in str(running.controller.traffic.as_json()["clusters"]["wuhan"]["down"])
        if gateway.renderer == "dynamic":
            assert set(await asyncio.wait_for(asyncio.gather(*waiting), 60)) == {"b"}
        far.cable("accept")
        await only(found, {"far", "b"})
        await said(running, {"wuhan": "", "zhuhai": ""})
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("renderer", ["dynamic"])
async def test_nothing_is_believed_when_everything_is_silent(gateway: Gateway, far: Far) -> None:
    """With all clusters unreachable weights stay: the fault may be the gateway's own."""
    paths = [policy("p", path("x.test/tea", backend({"wuhan": 1})))]
    async with controlled(gateway, placed(members(paths, {"wuhan": far.port}), "wuhan", far.address)) as running:
        await eventually(lambda: _answers(gateway, "far"))
        far.cable("drop")
        await asyncio.sleep(2)
        assert running.controller.probing.down == frozenset()
        assert running.controller.traffic.as_json()["clusters"]["wuhan"]["down"] == []
        far.cable("accept")
        await eventually(lambda: _answers(gateway, "far"))


async def _answers(gateway: Gateway, name: str) -> bool:
    return await gateway.backend_of("x.test", "/tea") == name


def test_connects(far: Far) -> None:
    """Each endpoint gets its own verdict."""
    far.cable("drop")
    silent, refused = Endpoint(far.address, far.port), Endpoint("127.0.0.1", free_port())
    found = connect_all({silent: 3, refused: 1}, 0.3)
    assert (found[silent], found[refused]) == (Verdict.SILENT, Verdict.REFUSED)
    far.cable("accept")
    assert connect_all({silent: 1}, 20.0)[silent] is Verdict.OPEN
    assert connect_all({}, 0.1) == {}
