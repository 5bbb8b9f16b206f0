"""The Kubernetes client against a real API server: verbs, watches that are cut, leases, Events."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway_operator.errors import AlreadyExists, ConfigError, Conflict, KindNotServed, NotFound, Unavailable
from gateway_operator.kube import Api, EventRecorder, Informer, LeaseElector, ObjectRef, Resource
from lab.apiserver import ApiCluster


def config_map(namespace: str, name: str = "one", **data: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


async def until(condition, seconds: float = 60.0) -> None:
    """Wait until `condition()` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def running(*coroutines):
    """Run coroutines beside the block."""
    tasks = [asyncio.ensure_future(c) for c in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_verbs(api: Api, namespace: str) -> None:
    """Create, read, apply, patch and delete do what they say, and errors have their class."""
    maps = await api.resource("v1", "ConfigMap")
    await api.create(maps, config_map(namespace, a="1"))
    with pytest.raises(AlreadyExists):
        await api.create(maps, config_map(namespace, a="1"))
    await api.merge_patch(maps, "one", {"data": {"b": "2"}}, namespace)
    await api.json_patch(maps, "one", [{"op": "remove", "path": "/data/a"}], namespace)
    assert (await api.get(maps, "one", namespace))["data"] == {"b": "2"}
    await api.delete(maps, "one", namespace)
    with pytest.raises(NotFound):
        await api.get(maps, "one", namespace)
    assert await api.find(maps, "one", namespace) is None


async def test_apply_conflict_names_the_other_manager(api: Api, namespace: str) -> None:
    """A server-side apply that meets another owner says who owns which field."""
    maps = await api.resource("v1", "ConfigMap")
    await api.apply(maps, config_map(namespace, a="1"), field_manager="first")
    with pytest.raises(Conflict) as caught:
        await api.apply(maps, config_map(namespace, a="2"), field_manager="second")
    assert caught.value.conflicts == [("first", ".data.a")]


async def test_list_in_chunks_and_metadata_only(api: Api, namespace: str) -> None:
    """A list carries apiVersion and kind, and no data when only metadata was asked for."""
    maps = await api.resource("v1", "ConfigMap")
    for index in range(3):
        await api.create(maps, config_map(namespace, f"map-{index}", a="1"))
    listing = await api.list(maps, namespace, metadata_only=True)
    names = {item["metadata"]["name"] for item in listing.items}
    assert {"map-0", "map-1", "map-2"} <= names
    assert all(item["kind"] == "ConfigMap" and "data" not in item for item in listing.items)


async def test_unknown_kind(api: Api) -> None:
    """A kind that nobody serves is an error of its own, with what to do."""
    with pytest.raises(KindNotServed, match="install its CustomResourceDefinition"):
        await api.resource("example.org/v1", "Nothing")


async def test_no_credentials(tmp_path: Path) -> None:
    """A kubeconfig that isn't there is named."""
    with pytest.raises(ConfigError, match="absent"):
        await Api.connect(tmp_path / "absent")


async def test_informer_follows_changes(api: Api, namespace: str) -> None:
    """Added, changed and deleted objects are reported once each, in order."""
    maps = await api.resource("v1", "ConfigMap")
    seen: list[tuple[str, str]] = []
    informer = Informer(
        api,
        maps,
        namespace=namespace,
        field_selector="metadata.name=one",
        on_event=lambda type_, obj, _previous: seen.append((type_, obj["metadata"]["name"])),
    )
    async with running(informer.run()):
        await asyncio.wait_for(informer.synced.wait(), 60)
        await api.create(maps, config_map(namespace, a="1"))
        await api.merge_patch(maps, "one", {"data": {"a": "2"}}, namespace)
        await api.delete(maps, "one", namespace)
        await until(lambda: len(seen) >= 3)
    assert seen == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]
    assert informer.store == {}


def deletions(api: Api, maps: Resource, namespace: str) -> tuple[Informer, list[str]]:
    """An informer, and the names of what it reports as deleted."""
    deleted: list[str] = []

    def note(type_: str, obj: dict[str, Any], _previous: Any) -> None:
        if type_ == "DELETED":
            deleted.append(obj["metadata"]["name"])

    return Informer(api, maps, namespace=namespace, on_event=note), deleted


async def test_informer_survives_a_dead_api_server(api: Api, api_cluster: ApiCluster, namespace: str) -> None:
    """While the API server is away the copy stays and the error is known; afterwards missed changes arrive."""
    maps = await api.resource("v1", "ConfigMap")
    for name in ("gone", "stays"):
        await api.create(maps, config_map(namespace, name, a="1"))
    informer, deleted = deletions(api, maps, namespace)
    async with running(informer.run()):
        await asyncio.wait_for(informer.synced.wait(), 60)
        api_cluster.kill_apiserver()
        try:
            await until(lambda: informer.error is not None)
            assert (namespace, "stays") in informer.store
            with pytest.raises(Unavailable):
                await api.get(maps, "stays", namespace)
        finally:
            api_cluster.start_apiserver()  # not in a thread: the daemons end with the thread that started them
        api_cluster.kubectl("delete", "configmap", "gone", "-n", namespace)
        await until(lambda: deleted == ["gone"])
        await until(lambda: informer.error is None)


async def test_informer_lists_again_after_gone(api: Api, namespace: str) -> None:
    """After 410 Gone a new list reports what was deleted meanwhile."""
    maps = await api.resource("v1", "ConfigMap")
    await api.create(maps, config_map(namespace, "lost", a="1"))
    informer, deleted = deletions(api, maps, namespace)
    async with running(informer.run()):
        await asyncio.wait_for(informer.synced.wait(), 60)
    await api.delete(maps, "lost", namespace)
    informer._version = "1"  # compacted or not, the server answers a version this old with Gone or the past events
    async with running(informer.run()):
        await until(lambda: deleted == ["lost"])


async def test_one_object_that_cant_be_handled_ends_no_watch(api: Api, namespace: str) -> None:
    """What stumbles over one object is logged with it; those that come after it are told."""
    maps = await api.resource("v1", "ConfigMap")
    told: list[str] = []

    def handle(_type: str, obj: dict[str, Any], _previous: Any) -> None:
        if (name := obj["metadata"]["name"]) == "bad":
            raise KeyError(name)
        told.append(name)

    informer = Informer(
        api, maps, namespace=namespace, field_selector="metadata.name!=kube-root-ca.crt", on_event=handle
    )
    with capture_logs() as logs:
        async with running(informer.run()):
            await asyncio.wait_for(informer.synced.wait(), 60)
            for name in ("bad", "good"):
                await api.create(maps, config_map(namespace, name))
            await until(lambda: told == ["good"])
    assert [(line["name"], line["log_level"]) for line in logs if line.get("kind") == "ConfigMap"] == [("bad", "error")]


async def test_two_candidates_never_lead_at_once(api: Api, namespace: str) -> None:
    """One leads; when it goes, the other takes over at once, for the lease is released."""
    leading: list[str] = []

    async def lead(name: str) -> None:
        assert leading == []
        leading.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            leading.remove(name)

    def candidate(name: str) -> LeaseElector:
        return LeaseElector(api, namespace=namespace, name="lease", identity=name, duration=600, renew_every=1)

    first, second = candidate("first"), candidate("second")
    async with running(first.run(lambda: lead("first"))) as (task,):
        await until(lambda: leading == ["first"])
        async with running(second.run(lambda: lead("second"))):
            await asyncio.sleep(2)
            assert leading == ["first"]
            task.cancel()
            await until(lambda: leading == ["second"])


async def test_a_lease_goes_with_its_owner(api: Api, namespace: str) -> None:
    """When the owner is deleted, Kubernetes removes the lease, whoever holds it."""
    maps, leases = await api.resource("v1", "ConfigMap"), await api.resource("coordination.k8s.io/v1", "Lease")
    owner = await api.create(maps, config_map(namespace, "owner"))
    elector = LeaseElector(api, namespace=namespace, name="owned", identity="me", owner=lambda: owner)
    async with running(elector.run(asyncio.Event().wait)):
        await asyncio.wait_for(elector.leading.wait(), 60)
    lease = await api.get(leases, "owned", namespace)
    assert lease["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]
    await api.delete(maps, "owner", namespace)
    end = time.monotonic() + 120
    while (await api.list(leases, namespace)).items:
        assert time.monotonic() < end, "the lease is still there"
        await asyncio.sleep(0.2)


async def test_lost_lease_cancels_the_work(api: Api, api_cluster: ApiCluster, namespace: str) -> None:
    """With the API server away the work is cancelled before the lease can run out."""
    ages: list[float] = []
    started = asyncio.Event()

    async def lead() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ages.append(elector.age)

    elector = LeaseElector(api, namespace=namespace, name="lease", identity="me", duration=15, renew_every=1)
    async with running(elector.run(lead)):
        await asyncio.wait_for(started.wait(), 60)
        api_cluster.kill_apiserver()
        try:
            await until(lambda: bool(ages))
            assert ages[0] < 15
            assert not elector.is_leader
        finally:
            api_cluster.start_apiserver()  # not in a thread: the daemons end with the thread that started them


async def test_equal_events_become_one_with_a_count(api: Api, namespace: str) -> None:
    """An Event that is recorded three times is one object with count 3."""
    recorder = EventRecorder(api, component="test")
    target = ObjectRef("v1", "ConfigMap", namespace, "one", "uid-1")
    async with running(recorder.run()):
        for _ in range(3):
            recorder.event(target, type_="Warning", reason="Broken", message="mend it")
        await recorder.flush()
    events = (await api.list(await api.resource("v1", "Event"), namespace)).items
    assert [(e["reason"], e["count"], e["type"]) for e in events] == [("Broken", 3, "Warning")]


async def test_a_flood_of_events_is_cut(api: Api, namespace: str) -> None:
    """One object can't fill the cluster's store with Events."""
    recorder = EventRecorder(api, component="test")
    target = ObjectRef("v1", "ConfigMap", namespace, "one", "uid-1")
    async with running(recorder.run()):
        for index in range(100):
            recorder.event(target, reason="Again", message=f"number {index}")
        await recorder.flush()
    events = (await api.list(await api.resource("v1", "Event"), namespace)).items
    assert len(events) == 25
