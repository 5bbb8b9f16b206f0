"""What a release made is put back when it is deleted or changed, wherever it lives, and an Event says who did it."""

from __future__ import annotations

import asyncio

import pytest

from gateway_operator.errors import NotFound
from releases_lab import eventually


def place(world, namespaced):
    """Return name and namespace of an object of release `a`."""
    return ("a", world.namespace) if namespaced else (f"{world.namespace}-a", None)


CHANGES = [
    ("v1", "ConfigMap", True, {"data": {"text": "mine"}}, "/data/text"),
    ("v1", "ConfigMap", True, {"data": {"text": None}}, "/data (none)"),
    ("v1", "ConfigMap", True, {"metadata": {"labels": {"app": "mine"}}}, "/metadata/labels/app"),
    ("v1", "ConfigMap", True, {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}, "managed-by"),
    ("v1", "ConfigMap", True, {"metadata": {"annotations": {"meta.helm.sh/release-name": None}}}, "release-name"),
    ("v1", "Service", True, {"spec": {"ports": [{"name": "http", "port": 81}]}}, "/spec/ports"),
    ("v1", "Service", True, {"spec": {"selector": {"added": "key"}}}, "/spec/selector"),
    ("apps/v1", "Deployment", True, {"spec": {"paused": True, "replicas": 3}}, "/spec/replicas"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", False, {"rules": []}, "/rules"),
    ("networking.k8s.io/v1", "IngressClass", False, {"metadata": {"annotations": None}}, "/metadata/annotations"),
]


async def test_every_changed_object_is_put_back(world):
    """Changed and removed fields; the Event has the JSON pointer and the field manager."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        for api_version, kind, namespaced, patch, pointer in CHANGES:
            name, namespace = place(world, namespaced)
            await world.patch(api_version, kind, name, patch, namespace)

            async def told(kind=kind, pointer=pointer):
                found = await world.events("DriftCorrected")
                assert any(pointer in message and f"{kind} " in message for message in found), (pointer, found)
                return found

            found = await eventually(told)
        assert any("changed by somebody" in message for message in found)
        assert (await world.get("v1", "ConfigMap", "a"))["data"] == {"text": "hello"}
        assert (await world.get("apps/v1", "Deployment", "a"))["spec"]["replicas"] == 0
        [port] = (await world.get("v1", "Service", "a"))["spec"]["ports"]
        assert port["port"] == 80
    assert len(world.calls) == 1
    assert [r["metadata"]["labels"]["version"] for r in await world.records("a")] == ["1"]


async def test_edited_port_keeps_its_node_port_and_can_be_upgraded(world):
    """Ports are keyed by number: an apply alone would be refused, and the repair must not own what it wrote."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"type": "NodePort"})
        await world.ready("Web", "a")
        [before] = (await world.get("v1", "Service", "a"))["spec"]["ports"]
        edited = {**before, "port": 8080, "targetPort": 8080}
        await world.patch("v1", "Service", "a", {"spec": {"ports": [edited]}})

        async def put_back():
            service = await world.get("v1", "Service", "a")
            managers = {e["manager"] for e in service["metadata"]["managedFields"]}
            assert "gateway-operator-drift" not in managers
            return service["spec"]["ports"] == [before]

        await eventually(put_back)
        await world.change("Web", "a", {"port": 81})
        await world.ready("Web", "a")
        [after] = (await world.get("v1", "Service", "a"))["spec"]["ports"]
        assert after["port"] == 81


async def test_a_restarted_operator_repairs_releases_that_it_did_not_install(world):
    """A change after the restart is repaired at once: the new process knows whose release it is."""
    settings = world.settings(world.row("Web"))
    async with world.engine(settings):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
    async with world.engine(settings):
        await world.ready("Web", "a")
        await asyncio.sleep(1)  # past the first pass, which compares everything anyway
        await world.delete("v1", "ConfigMap", "a", world.namespace)

        async def back():
            return await world.get("v1", "ConfigMap", "a", world.namespace)

        await eventually(back)
    assert len(world.calls) == 1


async def test_deleted_release_record_is_installed_again(world):
    """Somebody deletes Helm's Secret: the release is made anew over its objects."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        [record] = await world.records("a")
        await world.delete("v1", "Secret", record["metadata"]["name"])
        await eventually(lambda: world.records("a"))
        await world.ready("Web", "a")
    assert len(world.calls) == 2


async def test_row_without_dependent_watches_leaves_changes_alone(world):
    """watchDependentResources: false means that."""
    async with world.engine(world.settings(world.row("Web", watchDependentResources=False))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        await world.delete("v1", "Service", "a")
        await asyncio.sleep(1)
        with pytest.raises(NotFound):
            await world.get("v1", "Service", "a")
