"""Two replicas: who works, who takes over how soon, and that no release gets two helms."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from typing import Any

import pytest

from gateway_operator.errors import LeaseLost
from gateway_operator.kube import Api, Informer, LeaseElector
from gateway_operator.releases import names
from lab.apiserver import ApiCluster
from operator_process import operator
from releases_lab import eventually


async def wait(running, holds, seconds=120.0):
    """Wait for a process without holding up the test's own loop."""
    await asyncio.to_thread(running.wait, holds, seconds)


@contextlib.asynccontextmanager
async def pair(world, api_cluster: ApiCluster):
    """Run two operators: one that leads and has installed the release a, and one that waits."""
    world.settings(world.row("Web"))
    flags = ("--watches-file", str(world.folder / "watches.yaml"))
    with operator(api_cluster, world.namespace, *flags, helm=world.shim) as first:
        await wait(first, lambda: first.leads)
        with operator(api_cluster, world.namespace, *flags, helm=world.shim) as second:
            await world.custom("Web", "a")
            await world.ready("Web", "a")
            await wait(second, lambda: second.get("/readyz")[0] == 200)
            assert not second.leads
            yield first, second


async def called(world, count):
    return len(world.calls) >= count


async def test_t45_a_leader_that_is_killed_mid_upgrade_is_finished_by_the_other(world, api_cluster: ApiCluster) -> None:
    """T45: the other leads soon; exactly one more helm run brings the release to what is wanted."""
    async with pair(world, api_cluster) as (first, second):
        with world.held():
            await world.change("Web", "a", {"port": 81})
            await eventually(lambda: called(world, 2))
            first.process.kill()
            await wait(second, lambda: second.leads)
            await eventually(lambda: called(world, 3))
        await world.ready("Web", "a")
        assert (await world.get("v1", "Service", "a"))["spec"]["ports"][0]["port"] == 81
        await asyncio.sleep(2)
        assert [verb for _, verb, _ in world.calls] == ["upgrade"] * 3
        records = await world.records("a")
        assert [r["metadata"]["labels"]["status"] for r in records][-1] == "deployed"
        assert not any(r["metadata"]["labels"]["status"].startswith("pending") for r in records)


async def test_term_hands_over_at_once_also_from_a_helm_run(world, api_cluster: ApiCluster) -> None:
    """A leader whose helm is at work gives its lease up at SIGTERM, and the other takes it: it needn't run out."""
    async with pair(world, api_cluster) as (first, second), noted_holders(world) as held_by:
        with world.held():
            await world.custom("Web", "b")
            await eventually(lambda: called(world, 2))
            first.process.send_signal(signal.SIGTERM)
            await wait(second, lambda: second.leads)
            assert await asyncio.to_thread(first.process.wait, 60) == 0
            assert len(held_by) == 3, held_by
            assert held_by[1] == ""
        await world.ready("Web", "b")
        secrets = await world.records("b")
        holders = {r["metadata"]["labels"].get(names.HOLDER_LABEL) for r in secrets}
        assert len(holders) == 1


@contextlib.asynccontextmanager
async def noted_holders(world):
    """Note each holder of the lease from now on, and each time that it has none."""
    leases = await world.api.resource("coordination.k8s.io/v1", "Lease")
    seen: list[str] = []

    def note(_type: str, lease: dict[str, Any], _previous: Any) -> None:
        if (holder := lease["spec"].get("holderIdentity") or "") not in seen[-1:]:
            seen.append(holder)

    informer = Informer(world.api, leases, namespace=world.namespace, on_event=note)
    task = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(60):
            await informer.synced.wait()
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def is_down(operator):
    return operator.process.poll() is not None


async def test_a_stopped_leader_ends_when_it_wakes_up(world, api_cluster: ApiCluster) -> None:
    """A leader that slept beyond its lease writes nothing more: its process ends, and the other's work stands."""
    async with pair(world, api_cluster) as (first, second):
        first.process.send_signal(signal.SIGSTOP)
        await wait(second, lambda: second.leads)
        await world.change("Web", "a", {"port": 81})
        await world.ready("Web", "a")
        runs = len(world.calls)
        first.process.send_signal(signal.SIGCONT)
        await eventually(lambda: is_down(first))
        assert second.leads
        assert len(world.calls) == runs


async def test_a_blocked_loop_is_seen_from_outside_before_the_lease_is_over(api: Api, namespace: str) -> None:
    """Nothing in the loop can notice that it hangs; a thread does, in time."""
    overdue: list[float] = []
    seen = threading.Event()

    def note() -> None:
        overdue.append(elector.age)
        seen.set()

    async def lead() -> None:
        assert seen.wait(60)  # holds up the loop, which no code should do
        time.sleep(1)
        elector.fence()

    elector = LeaseElector(
        api,
        namespace=namespace,
        name="blocked",
        identity="me",
        duration=3,
        renew_every=1,
        overdue=note,
    )
    with pytest.raises(LeaseLost):
        await elector.run(lead)
    assert overdue[0] > 2.85  # and while the loop was still held up, for that waits for it


async def test_renewals_are_one_request_each(api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that nobody else touches isn't read before it is written."""
    elector = LeaseElector(api, namespace=namespace, name="quiet", identity="me", duration=60, renew_every=0.3)
    asked: list[str] = []
    raw = api.raw

    async def noted(method: str, path: str, **more: Any) -> Any:
        asked.append(method)
        return await raw(method, path, **more)

    monkeypatch.setattr(api, "raw", noted)
    task = asyncio.create_task(elector.run(asyncio.Event().wait))
    await asyncio.wait_for(elector.leading.wait(), 60)
    asked.clear()

    async def renewed() -> bool:
        return len(asked) >= 4

    await eventually(renewed)
    assert set(asked) == {"PUT"}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
