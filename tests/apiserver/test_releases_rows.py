"""Rows of watches.yaml beside each other: names, selectors, missing CRDs, refusals, and releases that make releases."""

from __future__ import annotations

from gateway_operator.errors import NotFound
from gateway_operator.gateways.verdicts import Notice, Refusal
from gateway_operator.releases.kinds import PlainKind, ReleasePlan
from releases_lab import conditions, eventually


async def test_two_kinds_with_one_name_at_once(world):
    """Created before the operator starts: no fight, two releases."""
    await world.define("Other")
    await world.custom("Web", "a")
    await world.custom("Other", "a")
    async with world.engine(world.settings(world.row("Web"), world.row("Other"))):
        found = {(await world.ready(kind, "a"))["status"]["deployedRelease"]["name"] for kind in ("Web", "Other")}
        assert len(found) == 2
        assert "a" in found
    assert len(world.calls) == 2


async def test_ksi1816_row_without_crd_waits_for_it_and_hinders_nobody(world):
    """The other rows run; the row starts when its CRD comes, without a restart."""
    async with world.engine(world.settings(world.row("Late"), world.row("Web"))) as engine:
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        health = {r.row: r for r in engine.health().rows}
        assert not health[f"Late.{world.group}"].serving
        assert "CustomResourceDefinition" in health[f"Late.{world.group}"].problem
        assert engine.health().ready
        await world.define("Late")
        await world.custom("Late", "b")
        await world.ready("Late", "b")


class OneOnly(PlainKind):
    """Serves the first by name, and refuses the others."""

    def plan(self, obj, peers, settings, *, installed):
        """Refuse all but the first."""
        first = min(p["metadata"]["name"] for p in peers if not p["metadata"].get("deletionTimestamp"))
        plan = super().plan(obj, peers, settings, installed=installed)
        if installed or first == obj["metadata"]["name"]:
            return ReleasePlan(plan.release_name, plan.values, notices=(Notice("Remark", "served with a remark"),))
        return ReleasePlan(plan.release_name, {}, refusal=Refusal("NotTheFirst", f"{first} is there already"))

    def peers_affected(self, obj):
        """Everybody looks at everybody."""
        return bool(obj)

    def status(self, obj, live):
        """Show what live objects are seen, and a condition that Ready waits for."""
        [service] = live.of_kind("Service", "")
        wanted = "True" if obj["metadata"].get("labels") else "False"
        condition = {
            "type": "Special",
            "status": wanted,
            "reason": "R",
            "message": "needs a label",
            "blocksReady": True,
        }
        return {"ports": [p["port"] for p in service["spec"]["ports"]], "conditions": [condition]}


async def test_refusal_is_told_and_lifted_when_the_blocker_goes(world):
    """A refused object has no release and a reason; it installs itself when its peer is gone."""
    kinds = {(world.group, "Web"): OneOnly()}
    async with world.engine(world.settings(world.row("Web")), kinds=kinds):
        await world.custom("Web", "a", labels={"x": "y"})
        obj = await world.ready("Web", "a")
        assert obj["status"]["ports"] == [80]
        assert "served with a remark" in obj["status"]["message"]
        await world.custom("Web", "b")
        found = await world.condition("Web", "b", "Accepted", "False", "NotTheFirst")
        assert found["message"] == "a is there already"
        assert (await world.look("Web", "b"))["metadata"].get("finalizers") is None
        assert await world.records("b") == []
        await world.delete(world.api_version, "Web", "a")
        found = await world.condition("Web", "b", "Ready", "False", "R")
        assert found["message"] == "needs a label"
        assert conditions(await world.look("Web", "b"))["Accepted"]["status"] == "True"
        assert len(await world.records("b")) == 1
        await world.patch(world.api_version, "Web", "b", {"metadata": {"labels": {"x": "y"}}})
        await world.ready("Web", "b")
    assert len(await world.events("NotTheFirst")) == 1


async def test_release_that_makes_a_custom_resource(world):
    """The parent is Ready after its child, follows its change, repairs it, and goes only after it."""
    await world.define("Parent")
    await world.define("Child")
    rows = (world.row("Parent", "parent", overrideValues={"childApiVersion": world.api_version}), world.row("Child"))
    async with world.engine(world.settings(*rows)):
        with world.held():
            await world.custom("Parent", "p", {"child": {"text": "one"}})
        await world.ready("Parent", "p")
        child = await world.look("Child", "p-child")
        assert conditions(child)["Ready"]["status"] == "True"
        assert (await world.get("v1", "ConfigMap", "p-child"))["data"] == {"text": "one"}

        await world.change("Parent", "p", {"child": {"replicas": 1}})
        await world.condition("Parent", "p", "Ready", "False", "Progressing", says="Child p-child")
        await world.change("Parent", "p", {"child": {"replicas": 0}})
        await world.ready("Parent", "p")

        await world.change("Child", "p-child", {"text": "mine"})

        async def reverted():
            return (await world.get("v1", "ConfigMap", "p-child"))["data"] == {"text": "one"} and (
                await world.look("Child", "p-child")
            )["spec"]["text"] == "one"

        await eventually(reverted)
        await world.ready("Parent", "p")

        await world.patch(world.api_version, "Child", "p-child", {"metadata": {"finalizers": ["example.com/hold"]}})
        await world.ready("Child", "p-child")
        await world.delete(world.api_version, "Parent", "p")
        await eventually(lambda: being_deleted(world, "Child", "p-child"))

        async def told():
            return f"Child {world.namespace}/p-child" in (await world.look("Parent", "p"))["status"]["message"]

        await eventually(told)
        await world.patch(world.api_version, "Child", "p-child", {"metadata": {"finalizers": None}})
        await eventually(lambda: world.gone(world.api_version, "Parent", "p"))
        assert await world.gone(world.api_version, "Child", "p-child")


async def being_deleted(world, kind, name):
    """Tell whether an object waits for its finalizers."""
    try:
        return bool((await world.look(kind, name))["metadata"].get("deletionTimestamp"))
    except NotFound:
        return False
