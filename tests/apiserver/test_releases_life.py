"""A release's life against a real API server and a real helm: install, upgrade, at rest, uninstall."""

from __future__ import annotations

import asyncio

from gateway_operator.releases import names
from releases_lab import World, conditions, eventually, settled


async def test_install_upgrade_uninstall(world):
    """Each step shows in objects, conditions, status, labels and Events, and deleting leaves nothing."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"text": "one"})
        obj = await world.ready("Web", "a")
        assert obj["metadata"]["finalizers"] == [names.FINALIZER]
        assert obj["status"]["deployedRelease"] == {
            "name": "a",
            "namespace": world.namespace,
            "revision": 1,
            "chart": "web-0.1.0",
        }
        found = conditions(obj)
        assert {t: (c["status"], c["reason"]) for t, c in found.items()} == {
            "Initialized": ("True", "Initialized"),
            "Accepted": ("True", "Accepted"),
            "Deployed": ("True", "InstallSuccessful"),
            "ReleaseFailed": ("False", "InstallSuccessful"),
            "Irreconcilable": ("False", "Reconciled"),
            "Drifted": ("False", "NoDriftDetected"),
            "Ready": ("True", "Ready"),
        }
        [record] = await world.records("a")
        labels = record["metadata"]["labels"]
        assert labels[names.DIGEST_LABEL] == obj["status"]["digest"]
        assert labels[names.OWNER_LABEL] == f"Web.{world.group}.a"
        assert labels[names.HOLDER_LABEL].startswith("test-")

        await world.change("Web", "a", {"text": "two"})
        await eventually(lambda: _revision(world, "a", 2))
        obj = await world.ready("Web", "a")
        assert conditions(obj)["Deployed"]["reason"] == "UpgradeSuccessful"
        assert (await world.get("v1", "ConfigMap", "a"))["data"] == {"text": "two"}

        await world.delete(world.api_version, "Web", "a")
        await eventually(lambda: world.gone(world.api_version, "Web", "a"))
        assert await world.records("a") == []
        assert await world.gone("v1", "ConfigMap", "a")
        assert await world.gone("rbac.authorization.k8s.io/v1", "ClusterRole", f"{world.namespace}-a", None)
        await eventually(lambda: world.events("Uninstalled"))
    assert [verb for _, verb, _ in world.calls] == ["upgrade", "upgrade", "uninstall"]
    assert len(await world.events("Installed")) == 1
    assert len(await world.events("Upgraded")) == 1


async def _revision(world, name, revision):
    obj = await world.look("Web", name)
    return obj.get("status", {}).get("deployedRelease", {}).get("revision") == revision


async def test_finalizer_is_there_before_helm_begins(world):
    """Else a resource deleted during its install would leave cluster-scoped objects behind."""
    async with world.engine(world.settings(world.row("Web"))):
        with world.held():
            await world.custom("Web", "a")

            async def called():
                return world.calls

            await eventually(called)
            obj = await world.look("Web", "a")
            assert obj["metadata"]["finalizers"] == [names.FINALIZER]
            assert await world.records("a") == []
        await world.ready("Web", "a")


async def test_at_rest_nothing_runs_and_nothing_is_written(world):
    """Periods pass and the engine starts anew: no helm, no write."""
    settings = world.settings(world.row("Web"), reconcile_period=0.2)
    async with world.engine(settings):
        for name in ("a", "b"):
            await world.custom("Web", name)
        for name in ("a", "b"):
            await world.ready("Web", name)
        before = await settled(lambda: _versions(world), seconds=1)
        runs = len(world.calls)
        await asyncio.sleep(2)
    async with world.engine(settings) as engine:

        async def served():
            return engine.health().rows and engine.health().rows[0].serving and engine.idle

        await eventually(served)
        await asyncio.sleep(1)
        assert engine.health().ready
        assert engine.health().rows[0].objects == 2
    assert await _versions(world) == before
    assert len(world.calls) == runs == 2


async def _versions(world):
    """Return the resourceVersion of everything that the engine could have written."""
    objects = [await world.look("Web", name) for name in ("a", "b")]
    objects += [await world.get("v1", kind, name) for name in ("a", "b") for kind in ("ConfigMap", "Service")]
    objects += [r for name in ("a", "b") for r in await world.records(name)]
    return {(o["kind"], o["metadata"]["name"]): o["metadata"]["resourceVersion"] for o in objects}


async def test_ready_waits_for_the_workload(world):
    """Ready is False with what is awaited while replicas are missing, and follows the Deployment's status."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"replicas": 1})
        await world.condition("Web", "a", "Ready", "False", "Progressing", says="Deployment a")
        assert conditions(await world.look("Web", "a"))["Deployed"]["status"] == "True"
        await world.change("Web", "a", {"replicas": 0})
        await world.ready("Web", "a")


async def test_overrides_win_and_are_told(world):
    """overrideValues replace the user's words, with types, and an Event says so."""
    row = world.row("Web", overrideValues={"text": "from-the-operator", "replicas": "0"})
    async with world.engine(world.settings(row)):
        await world.custom("Web", "a", {"text": "mine"})
        await world.ready("Web", "a")
        assert (await world.get("v1", "ConfigMap", "a"))["data"] == {"text": "from-the-operator"}
        [message] = await eventually(lambda: world.events("ValueOverridden"))
        assert "text" in message


async def test_helm_3_works_too(api, api_cluster, tmp_path, helm3_binary):
    """Install, repair, upgrade over a foreign change, recovery of a failed upgrade, uninstall; client-side apply."""
    world = World(api, api_cluster.kubeconfig, tmp_path, helm3_binary)
    await world.prepare("Web")
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        await world.patch("v1", "ConfigMap", "a", {"data": {"text": "mine"}})
        await eventually(lambda: _text(world, "hello"))
        await world.delete("v1", "Service", "a")
        await eventually(lambda: world.get("v1", "Service", "a"))
        await world.change("Web", "a", {"text": "two", "port": 99999999})
        failed = await world.condition("Web", "a", "ReleaseFailed", "True", "UpgradeError")
        assert failed["message"].startswith("ObjectRefused: ")
        await world.change("Web", "a", {"port": 81})
        await world.ready("Web", "a")
        assert await _text(world, "two")
        labels = (await world.records("a"))[-1]["metadata"]["labels"]
        assert labels[names.OWNER_LABEL] == f"Web.{world.group}.a"
        await world.custom("Web", "bad", {"text": 3})
        failed = await world.condition("Web", "bad", "ReleaseFailed", "True", "InstallError")
        assert failed["message"].startswith("ValuesRefused: ")
        for name in ("a", "bad"):
            await world.delete(world.api_version, "Web", name)
        for name in ("a", "bad"):
            await eventually(lambda name=name: world.gone(world.api_version, "Web", name))
        assert await world.gone("v1", "ConfigMap", "a")


async def _text(world, text):
    return (await world.get("v1", "ConfigMap", "a"))["data"]["text"] == text
