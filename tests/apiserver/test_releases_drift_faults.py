"""Repairs under trouble: objects that can't be written, somebody who undoes them, many at once, a new operator."""

from __future__ import annotations

import asyncio
import time
import uuid

from drift_cases import TARGETS
from gateway_operator.releases import fights
from releases_lab import World, conditions, eventually, settled
from test_releases_drift_kinds import at_least, scene
from test_releases_drift_terms import data, edit, is_put_back, settings, started


async def forbid(world, name):
    """Let the API server refuse every write of the ConfigMap `a` in the world's namespace."""
    group = "admissionregistration.k8s.io/v1"
    name = f"{world.namespace}-{name}"
    await world.create(
        group,
        "ValidatingAdmissionPolicy",
        name,
        namespace=None,
        spec={
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["configmaps"],
                        "resourceNames": ["a"],
                    }
                ]
            },
            "validations": [{"expression": "false", "message": "the ConfigMap a is sealed"}],
        },
    )
    await world.create(
        group,
        "ValidatingAdmissionPolicyBinding",
        name,
        namespace=None,
        spec={
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}},
        },
    )

    async def refused():
        try:
            await world.patch("v1", "ConfigMap", "a", {"metadata": {"annotations": {"probe": uuid.uuid4().hex}}})
        except Exception as error:  # noqa: BLE001
            return "sealed" in str(error)
        return False

    return refused


async def test_t32_one_denied_object_does_not_block_the_rest(world):
    """The others are put back at once; the error names the denied one, which follows when it may."""
    async with world.engine(settings(world, driftPolicy="ignore")):
        await started(world)
    await edit(world, "ConfigMap", "a", {"data": {"text": "mine"}})
    await edit(world, "ConfigMap", "a-listed", {"data": {"text": "mine"}})
    await world.delete("v1", "Secret", "a")
    await eventually(await forbid(world, "seal"))
    async with world.engine(settings(world)):
        await eventually(lambda: is_put_back(world, "a-listed"))
        await eventually(lambda: world.get("v1", "Secret", "a"))
        [error] = await eventually(lambda: at_least(world, "DriftRepairFailed", 1))
        assert f"ConfigMap {world.namespace}/a can't be put back" in error
        assert "the ConfigMap a is sealed" in error

        async def said():
            ready = conditions(await world.look("Web", "a"))["Ready"]
            return ready["status"] == "False" and "sealed" in ready["message"]

        await eventually(said)
        assert (await data(world))["text"] == "mine"
        await world.delete(
            "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", f"{world.namespace}-seal", None
        )
        await eventually(lambda: is_put_back(world))


async def test_somebody_who_undoes_every_repair_gets_growing_pauses(world, monkeypatch):
    """One Warning names the object, the field and the manager; other objects are still repaired at once."""
    monkeypatch.setattr(fights, "ROUNDS", 3)
    async with world.engine(settings(world)):
        await started(world)
        edited = []
        for number in range(5):
            edited.append(time.monotonic())
            await edit(world, "ConfigMap", "a", {"data": {"text": f"mine{number}"}}, manager="stubborn")
            await eventually(lambda: says_hello(world))
        assert time.monotonic() - edited[3] > 2.0  # the pause after the repair of the fourth
        monkeypatch.setattr(fights, "ROUNDS", -2)  # its pause is two minutes now, which no machine stumbles over
        await edit(world, "ConfigMap", "a", {"data": {"text": "mine"}}, manager="stubborn")
        found = await eventually(lambda: at_least(world, "DriftFight", 1))
        assert f"stubborn changes ConfigMap {world.namespace}/a again after each repair at /data/text" in found[0]
        await edit(world, "ConfigMap", "a-listed", {"data": {"text": "mine"}})
        await eventually(lambda: is_put_back(world, "a-listed"))
        assert (await data(world))["text"] == "mine"
        monkeypatch.setattr(fights, "ROUNDS", 3)  # 4 s at most are left; the next change has the engine look
        await edit(world, "ConfigMap", "a", {"data": {"text": "mine still"}}, manager="stubborn")
        await eventually(lambda: is_put_back(world))


async def says_hello(world):
    return (await data(world))["text"] == "hello"


async def test_a_burst_of_200_changes_is_repaired(world):
    """All in one release."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"count": 200})
        await world.ready("Web", "a")
        maps = [f"a-{n}" for n in range(200)]
        await asyncio.gather(*(edit(world, "ConfigMap", name, {"data": {"number": "x", "more": "y"}}) for name in maps))
        resource = await world.api.resource("v1", "ConfigMap")

        async def all_back():
            items = {i["metadata"]["name"]: i for i in (await world.api.list(resource, world.namespace)).items}
            return all(items[name]["data"] == {"number": name[2:]} for name in maps)

        await eventually(all_back)


async def test_an_object_that_lost_its_label_is_found(world):
    """The watch that selects by the label says DELETED; so do other ways of hiding an object from its release."""
    async with scene(world) as made:
        hidden = [t for t in TARGETS if t.kind in {"ConfigMap", "ClusterRole", "Child", "Deployment"}]
        for target in hidden:
            await made.patch(target, [{"op": "remove", "path": "/metadata/labels/app.kubernetes.io~1managed-by"}])
        await eventually(made.is_restored)
        other = "/metadata/annotations/meta.helm.sh~1release-name"
        for target in hidden:
            await made.patch(target, [{"op": "replace", "path": other, "value": "somebody-else"}])
        await eventually(made.is_restored)
        for target in hidden:
            ops = [{"op": "remove", "path": "/metadata/labels"}, {"op": "remove", "path": "/metadata/annotations"}]
            await made.patch(target, ops)
        await eventually(made.is_restored)


async def test_hooks_are_not_repaired(world):
    """They are no part of what should be there."""
    async with world.engine(settings(world)):
        await started(world, hook=True)
        await edit(world, "ConfigMap", "a-hook", {"data": {"text": "mine"}})
        await edit(world, "ConfigMap", "a", {"data": {"text": "mine"}})
        await eventually(lambda: is_put_back(world))
        await asyncio.sleep(0.5)
        assert (await data(world, "a-hook"))["text"] == "mine"


async def test_a_new_operator_compares_without_requests_for_objects(world, monkeypatch):
    """Ownership proves most of them right; what was tampered with meanwhile is found and put back."""
    asked = []
    raw = world.api.raw

    async def spy(method, path, **more):
        asked.append((method, path.rpartition("/")[2], path))
        return await raw(method, path, **more)

    config = settings(world)
    async with world.engine(config):
        await started(world)
    await edit(world, "ConfigMap", "a", {"data": {"extra": "x"}})
    await edit(world, "ConfigMap", "a-kept", {"data": {"text": None}})
    await edit(world, "Service", "a", {"metadata": {"labels": {"mine": "yes"}}})
    monkeypatch.setattr(world.api, "raw", spy)
    kinds = ("configmaps/a", "configmaps/a-kept", "services/a", "secrets/a")  # by stringData, Helm owns no data
    found = {f"{world.namespace}/{what}" for what in kinds}

    async def objects():
        return [(m, p) for m, name, p in asked if name in {"a", "a-kept", "a-listed", f"{world.namespace}-a"}]

    async def touched():
        return {p.rpartition("/namespaces/")[2] for _, p in await objects() if f"/{world.group}/" not in p}

    async def all_looked_at():
        return found <= await touched()

    async with world.engine(config):
        await eventually(all_looked_at)
        looks = await settled(objects)
    assert await touched() == found
    assert len(looks) <= 9, looks
    assert await is_put_back(world)
    assert await is_put_back(world, "a-kept")
    assert len(world.calls) == 1


async def test_helm_3_releases_are_repaired_as_well(api, api_cluster, tmp_path, helm3_binary):
    """Helm 3 writes by patches: its fields are owned in another way."""
    world = World(api, api_cluster.kubeconfig, tmp_path, helm3_binary)
    await world.prepare("Web")
    async with scene(world) as made:
        for way in ("added", "changed", "removed"):
            for target in TARGETS:
                await made.patch(target, target.ops(way))
            await eventually(made.is_restored)
        await world.change("Web", "a", {"policy": "warn"})
        await eventually(lambda: upgraded(world))
    assert len(world.calls) == 2


async def upgraded(world):
    """True when the release has its second revision."""
    return [r["metadata"]["labels"]["status"] for r in await world.records("a")] == ["superseded", "deployed"]


async def test_an_upgrade_after_repairs_removes_what_the_chart_drops(world):
    """Repairs own nothing: Helm can still take its fields away."""
    async with scene(world) as made:
        for target in TARGETS:
            if target.kind in {"Service", "Deployment", "ConfigMap"}:
                await made.patch(target, target.ops("changed"))
        await eventually(made.is_restored)
        for target in TARGETS:
            managers = {e["manager"] for e in (await made.read(target))["metadata"]["managedFields"]}
            assert "gateway-operator-drift" not in managers, target
        await world.change("Web", "a", {"scaled": False})
        await eventually(lambda: upgraded(world))
        assert (await world.get("apps/v1", "Deployment", "a"))["spec"]["replicas"] == 1
