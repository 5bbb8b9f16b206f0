"""What ends, breaks or is many: T42 to T45."""

from __future__ import annotations

import asyncio
import json
import signal
import time
import urllib.request

import pytest

from tests.apiserver.releases_lab import eventually, settled
from tests.engine.proxy import Proxy
from tests.engine.scenes import SOON, Scene

ROWS: dict[str, dict[str, object]] = {}


@pytest.fixture(autouse=True, scope="module")
def kinds(stage):
    """The kind of this module; each test runs its own operators."""
    stage.define("Web")


async def works(scene: Scene, name: str, text: str, *, within: float = 60) -> None:
    """Check that changes reach the release and that drift is repaired."""
    await scene.change("Web", name, {"text": text})
    await scene.says(name, text, within=within)
    await scene.delete("v1", "Service", name)
    await eventually(lambda: scene.get("v1", "Service", name), within=SOON)
    await scene.deployed("Web", name)


async def test_t42_cut_connections(scene, stage, tmp_path):
    """Every connection breaks at once: the watches come back, and what happened meanwhile is seen."""
    proxy = Proxy(stage.cluster, tmp_path)
    try:
        with scene.alone(kubeconfig=proxy.kubeconfig) as operator:
            await scene.install("Web", "a")
            assert proxy.cut() > 0
            await scene.delete("v1", "ConfigMap", "a")
            await scene.says("a", "hello", within=180)
            await works(scene, "a", "two")
            assert operator.alive
    finally:
        proxy.close()


async def test_t42_api_server_restarts(scene, stage):
    """The API server restarts: the operator lives on, and works as before."""
    with scene.alone() as operator:
        await scene.install("Web", "a")
        stage.cluster.kill_apiserver()
        await asyncio.sleep(2)
        stage.cluster.start_apiserver()
        assert operator.alive
        await eventually(lambda: scene.look("Web", "a"))
        await works(scene, "a", "two")
        assert operator.alive


def compact(cluster) -> None:
    """Make the store forget the past, so that a watch can't go on where it was."""
    url = f"http://127.0.0.1:{cluster.control.plan.etcd_port}/v3/kv"

    def ask(verb, body):
        request = urllib.request.Request(f"{url}/{verb}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    revision = ask("range", {"key": "AA=="})["header"]["revision"]
    ask("compaction", {"revision": revision, "physical": True})


async def test_t42_history_is_gone(scene, stage):
    """410 Gone: what was made, changed and deleted while the operator didn't look is found."""
    with scene.alone() as operator:
        for name in ("changed", "deleted", "drifted"):
            await scene.install("Web", name)
        with operator.frozen():
            await scene.change("Web", "changed", {"text": "two"})
            await scene.delete(scene.api_version, "Web", "deleted")
            await scene.patch("v1", "ConfigMap", "drifted", {"data": {"text": "mine"}})
            await scene.custom("Web", "made")
            stage.cluster.kill_apiserver()
            await asyncio.sleep(2)  # its port is free a little after its first thread is gone
            stage.cluster.start_apiserver()
            compact(stage.cluster)
        await scene.says("changed", "two", within=180)
        await scene.deployed("Web", "made", within=180)
        await scene.says("drifted", "hello", within=180)
        await eventually(lambda: scene.gone(scene.api_version, "Web", "deleted"), within=180)
        assert operator.alive


async def many(count, make, *, at_once=20):
    """Await `make(0)` to `make(count - 1)`, some at once."""
    gate = asyncio.Semaphore(at_once)

    async def one(number):
        async with gate:
            await make(number)

    await asyncio.gather(*(one(number) for number in range(count)))


@pytest.mark.parametrize("count", [500, pytest.param(20_000, marks=pytest.mark.long)])
async def test_t43_foreign_objects_are_no_work(scene, count):
    """Objects of nobody's release, made while the operator rests: no pass, no request, and repair works on."""
    with scene.alone() as operator:
        await scene.install("Web", "a")

        async def work():
            return operator.total("controller_runtime_reconcile_total"), operator.reads() + operator.writes()

        passes, requests = await settled(work)  # what follows an install by itself is over
        began = time.monotonic()
        await many(count, lambda n: scene.create("v1", "ConfigMap", f"foreign-{n}", data={"text": "x" * 200}))
        passes_after, requests_after = await settled(work)
        renewed = (time.monotonic() - began) / 10  # watches begin anew every 290 s
        assert passes_after - passes <= 1
        assert requests_after - requests <= 20 + renewed
        await scene.delete("v1", "Service", "a")
        await eventually(lambda: scene.get("v1", "Service", "a"), within=SOON)


@pytest.mark.long  # test_releases_drift_faults.py, test_releases_life.py
@pytest.mark.parametrize("count", [20, 1000])
async def test_t44_cold_start_over_many_releases(scene, count):
    """A new operator finds what happened meanwhile, without a write or a helm run for what is as it should be."""
    names = [f"web-{n}" for n in range(count)]
    with scene.alone(workers=4) as first:
        await many(count, lambda n: scene.custom("Web", names[n]))
        for name in names:
            await scene.deployed("Web", name, within=120 + count)
        await settled(lambda: asyncio.sleep(0, first.writes()))
    await scene.delete("v1", "ConfigMap", names[-1])
    records = {name: await scene.revisions(name) for name in names}
    runs = len(scene.stage.shim.calls())
    with scene.alone(workers=4) as operator:
        await scene.says(names[-1], "hello", within=60 + count / 10)
        await asyncio.sleep(3)
        assert operator.writes() <= 5  # the ConfigMap, an Event, a status
        assert len(scene.stage.shim.calls()) == runs
        for name in names:
            assert await scene.revisions(name) == records[name]


@pytest.mark.long  # test_ha.py
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
async def test_t45_leader_ends_in_an_upgrade(scene, how):
    """The leader ends in an upgrade: the other replica finishes it, with no more revisions than needed."""
    lease = {"lease": (scene.namespace, "suite")}
    with scene.alone(**lease) as first:
        await scene.custom("Web", "a", {"count": 60})
        await scene.deployed("Web", "a")
        with scene.alone(**lease):
            await asyncio.sleep(1)
            await scene.change("Web", "a", {"text": "two", "count": 61})

            async def begun():
                return (await scene.revisions("a"))[-1][1] == "pending-upgrade"

            await eventually(begun)
            first.process.send_signal(how)
            await asyncio.to_thread(first.process.wait, 30)
            started = time.monotonic()
            await scene.says("a", "two", within=180)
            await scene.deployed("Web", "a", within=180)
            print(f"taken over in {time.monotonic() - started:.1f} s")  # noqa: T201 - shown beside a failure
            revisions = await settled(lambda: scene.revisions("a"))
            assert not [state for _, state in revisions if state.startswith("pending")]
            assert revisions[-1][0] <= 3
