"""Custom resources that are deleted: what goes, what is waited for, and what lets go of the rest."""

from __future__ import annotations

import asyncio

import pytest

from gateway_operator.releases import names
from gateway_operator.releases.annotations import PEERS
from releases_lab import conditions, eventually

HOLD = "example.com/hold"


async def gone(world, name="a"):
    """Wait until the custom resource is gone."""
    await eventually(lambda: world.gone(world.api_version, "Web", name))


async def hold(world, kind, name, *finalizers):
    """Set finalizers of an object."""
    await world.patch("v1", kind, name, {"metadata": {"finalizers": list(finalizers) or None}})


async def waiting(world, *words):
    """Wait until the Deployed condition says what is waited for."""

    async def asked():
        obj = await world.look("Web", "a")
        found = conditions(obj)["Deployed"]
        assert (found["status"], found["reason"]) == ("False", "UninstallSuccessful")
        assert found["message"].startswith("Waiting until all resources are deleted")
        assert all(word in found["message"] for word in words), found
        assert found["message"] in obj["status"]["message"]
        assert conditions(obj)["ReleaseFailed"]["message"] == found["message"]
        return obj

    return await eventually(asked)


# objects that are made anew, below, have their end in one process, too
@pytest.mark.parametrize(
    "restart",
    [pytest.param(False, marks=pytest.mark.long, id="in one process"), pytest.param(True, id="over a restart")],
)
async def test_t05_t06_uninstall_wait(world, restart):
    """T05, T06: the resource stays until the last object is gone and names what holds it; then a reinstall works."""
    settings = world.settings(world.row("Web", "hooked"))
    async with world.engine(settings):
        await world.custom("Web", "a", annotations={f"{PEERS}uninstall-wait": "true"})
        await world.ready("Web", "a")
        await hold(world, "ServiceAccount", "a", HOLD)
        await world.delete(world.api_version, "Web", "a")
        await waiting(world, f"ServiceAccount {world.namespace}/a (finalizers: {HOLD})")
        if not restart:
            await hold(world, "ServiceAccount", "a")
            await gone(world)
    if restart:
        async with world.engine(settings):
            await asyncio.sleep(1)
            await waiting(world, HOLD)
            await hold(world, "ServiceAccount", "a")
            await gone(world)
    assert await world.records("a") == []
    assert await world.gone("v1", "ConfigMap", "a")
    assert world.verbs == ["upgrade", "uninstall"]
    kept = await world.get("v1", "ConfigMap", "a-kept")  # T21: keep, in whatever case, is neither deleted nor awaited
    async with world.engine(settings):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        assert (await world.get("v1", "ConfigMap", "a-kept"))["metadata"]["uid"] == kept["metadata"]["uid"]
        await world.delete(world.api_version, "Web", "a")
        await gone(world)
    assert await world.records("a") == []
    await world.get("v1", "ConfigMap", "a-kept")


async def test_objects_made_anew_meanwhile_are_deleted_again(world):
    """Each look deletes what is there once more."""
    async with world.engine(world.settings(world.row("Web", "hooked"))):
        await world.custom("Web", "a", annotations={f"{names.GROUP}/uninstall-wait": "true"})
        await world.ready("Web", "a")
        await hold(world, "ServiceAccount", "a", HOLD)
        copy = await world.get("v1", "ConfigMap", "a")
        await world.delete(world.api_version, "Web", "a")
        await waiting(world, HOLD)
        meta = {k: copy["metadata"][k] for k in ("labels", "annotations")}
        await world.create("v1", "ConfigMap", "a", metadata=meta, data={})
        await eventually(lambda: world.gone("v1", "ConfigMap", "a"))
        await hold(world, "ServiceAccount", "a")
        await gone(world)


async def test_t07_missing_release(world):
    """T07: a finalizer without a release goes at once, without helm."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", annotations={f"{names.GROUP}/paused": "true"}, finalizers=[names.FINALIZER])
        await world.condition("Web", "a", "Ready", "False", "Paused")
        await world.delete(world.api_version, "Web", "a")
        await world.annotate("Web", "a", paused=None)
        await gone(world)
    assert world.calls == []


@pytest.mark.parametrize("finalizer", names.PEER_FINALIZERS)
async def test_both_peer_finalizers_are_honoured(world, finalizer):
    """They count as ours, and none is added to them."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", finalizers=[finalizer])
        obj = await world.ready("Web", "a")
        assert obj["metadata"]["finalizers"] == [finalizer]
        await world.delete(world.api_version, "Web", "a")
        await gone(world)
    assert await world.records("a") == []


async def test_t17_t36_failing_uninstall(world):
    """T17, T36: said, retried, the finalizer kept; it goes through when the cause is gone."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        with world.failing("uninstall", "Error: uninstallation completed with 1 error(s): the webhook says no"):
            await world.delete(world.api_version, "Web", "a")
            failed = await world.condition("Web", "a", "ReleaseFailed", "True", "UninstallError")
            assert "the webhook says no" in failed["message"]
            obj = await world.look("Web", "a")
            assert obj["metadata"]["finalizers"] == [names.FINALIZER]
            assert conditions(obj)["Ready"]["reason"] == "UninstallError"

            async def retried():
                return world.verbs.count("uninstall") >= 2

            await eventually(retried)
        await gone(world)
    assert await world.records("a") == []
    assert len(await world.events("UninstallFailed")) == 1


async def test_force_release_gives_up_a_stuck_uninstall(world):
    """The object goes, the release stays, and a Warning Event names what is left."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        with world.failing("uninstall", "Error: no"):
            await world.delete(world.api_version, "Web", "a")
            await world.condition("Web", "a", "ReleaseFailed", "True", "UninstallError")
            await world.annotate("Web", "a", force_release="true")
            await gone(world)
        [message] = await eventually(lambda: world.events("ReleaseGivenUp"))
        assert f"ConfigMap {world.namespace}/a" in message
        assert f"ClusterRole {world.namespace}-a" in message
    assert len(await world.records("a")) == 1


async def test_force_release_ends_a_wait(world):
    """Blockers are named and left; the records go."""
    async with world.engine(world.settings(world.row("Web", "hooked"))):
        await world.custom("Web", "a", annotations={f"{PEERS}uninstall-wait": "true"})
        await world.ready("Web", "a")
        await hold(world, "ServiceAccount", "a", HOLD)
        await world.delete(world.api_version, "Web", "a")
        await waiting(world, HOLD)
        await world.annotate("Web", "a", force_release="true")
        await gone(world)
        [message] = await eventually(lambda: world.events("ReleaseGivenUp"))
        assert f"ServiceAccount {world.namespace}/a (finalizers: {HOLD})" in message
    assert await world.records("a") == []
    await hold(world, "ServiceAccount", "a")


async def test_resource_deleted_during_its_install_leaves_nothing(world):
    """Neither a hook that never ends nor a half install survives; nobody waits for the hook."""
    async with world.engine(world.settings(world.row("Web", "hooked"), helm_timeout=3600.0)):
        await world.custom("Web", "a", {"hook": "post-install"})
        await eventually(lambda: world.get("batch/v1", "Job", "a-migrate"))
        await world.delete(world.api_version, "Web", "a")
        await gone(world)
    assert await world.records("a") == []
    assert await world.gone("v1", "ConfigMap", "a")
    assert world.verbs == ["upgrade", "uninstall"]


async def test_t46_namespace_being_deleted(world):
    """T46: nothing hangs on a finalizer, also where nothing was installed; no cluster-scoped object stays.

    Helm's record goes with the namespace, often before the uninstall; here it always does.
    """
    role = f"{world.namespace}-a"
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        with world.failing("upgrade", "Error: no"):
            await world.custom("Web", "b")
            await world.condition("Web", "b", "ReleaseFailed", "True", "InstallError")
        [record] = await world.records("a")
        with world.held():  # the record is gone before helm can read it
            await world.delete("v1", "Namespace", world.namespace, None)
            await eventually(lambda: world.gone("v1", "Secret", record["metadata"]["name"]))
        for name in ("a", "b"):
            await gone(world, name)
        await eventually(lambda: world.gone("rbac.authorization.k8s.io/v1", "ClusterRole", role, None))
        assert await world.gone("networking.k8s.io/v1", "IngressClass", role, None)
        await eventually(lambda: world.gone("v1", "Namespace", world.namespace, None))
