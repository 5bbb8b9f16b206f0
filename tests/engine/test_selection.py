"""Which resources an operator looks at and how often, each test with an operator of its own: T19 and T23."""

from __future__ import annotations

import asyncio

import pytest

from tests.apiserver.releases_lab import eventually, settled

ROWS: dict[str, dict[str, object]] = {}


@pytest.fixture(autouse=True, scope="module")
def kinds(stage):
    """The kind of this module; each test runs its own operators."""
    stage.define("Web")


def selecting(stage, value):
    return stage.row("Web", selector={"matchLabels": {"team": value}})


@pytest.mark.long  # test_releases_live_selection.py
@pytest.mark.parametrize("everywhere", [True, False], ids=["all", "namespace"])
async def test_t19_selector(scene, stage, everywhere):
    """An unlabelled resource is ignored; with the label it is served, and so is no other's."""
    with scene.alone(selecting(stage, "one"), selected=() if everywhere else (scene.namespace,)):
        await scene.custom("Web", "none")
        await scene.custom("Web", "other", labels={"team": "two"})
        await scene.install("Web", "a", labels={"team": "one"})
        await asyncio.sleep(1)
        assert "status" not in await scene.look("Web", "none")
        assert "status" not in await scene.look("Web", "other")
        await scene.patch(scene.api_version, "Web", "none", {"metadata": {"labels": {"team": "one"}}})
        await scene.deployed("Web", "none")


@pytest.mark.long  # test_releases_live_selection.py
async def test_t19_resource_that_is_deselected_is_not_deleted(scene, stage):
    """The release of a deselected resource stays as it is, and is looked after again when the label comes back."""
    with scene.alone(selecting(stage, "one")):
        await scene.install("Web", "a", labels={"team": "one"})
        await scene.patch(scene.api_version, "Web", "a", {"metadata": {"labels": {"team": None}}})
        await asyncio.sleep(2)
        await scene.change("Web", "a", {"text": "two"})
        await asyncio.sleep(2)
        assert await scene.text("a") == "hello"
        assert await scene.revisions("a") == [(1, "deployed")]
        await scene.patch(scene.api_version, "Web", "a", {"metadata": {"labels": {"team": "one"}}})
        await scene.says("a", "two")


@pytest.mark.long  # test_releases_live_selection.py
async def test_t19_two_operators_with_two_selectors(scene, stage):
    """Two operators with two selectors never touch each other's resources."""
    first = stage.row("Web", selector={"matchLabels": {"team": "one"}}, overrideValues={"text": "one"})
    second = stage.row("Web", selector={"matchLabels": {"team": "two"}}, overrideValues={"text": "two"})
    with scene.alone(first), scene.alone(second):
        await asyncio.gather(*(scene.custom("Web", team, labels={"team": team}) for team in ("one", "two")))
        for team in ("one", "two"):
            await scene.deployed("Web", team, revision=1)
        await asyncio.sleep(2)
        for team in ("one", "two"):
            assert await scene.text(team) == team
            assert await scene.revisions(team) == [(1, "deployed")]


VALUES = {"absent": None, "t": "true", "one": "1", "f": "false", "zero": "0", "invalid": "maybe"}
TRUE = {"t", "one"}


async def test_t23_upgrade_force_values(scene):
    """upgrade-force: true and 1 replace objects, which drops what a controller added; every other value merges."""
    maps = await scene.api.resource("v1", "ConfigMap")
    with scene.alone():
        for name, value in VALUES.items():
            annotations = {scene.profile.annotation("upgrade-force"): value} if value else {}
            await scene.custom("Web", name, annotations=annotations)
        for name in VALUES:
            await scene.deployed("Web", name)
            note = {"metadata": {"annotations": {"team.example.com/note": "mine"}}}
            await scene.api.merge_patch(maps, name, note, scene.namespace, field_manager="kube-controller-manager")
            await scene.change("Web", name, {"text": "two"})
        for name in VALUES:
            await scene.deployed("Web", name, revision=2)
            found = (await scene.get("v1", "ConfigMap", name))["metadata"]["annotations"]
            assert ("team.example.com/note" in found) is (name not in TRUE), name


@pytest.mark.long  # test_releases_life_annotations.py
@pytest.mark.parametrize("value", ["1s", "1"], ids=["duration", "invalid"])
async def test_t23_period_of_a_resource(scene, value):
    """The period in an annotation wins over watches.yaml and the flag; one that is no duration hinders nothing."""
    annotations = {scene.profile.annotation("reconcile-period"): value}
    with scene.alone(scene.stage.row("Web", reconcilePeriod="10m")) as operator:
        await scene.install("Web", "a", annotations=annotations)

        async def work():
            return operator.total("controller_runtime_reconcile_total")

        before = await (work() if value == "1s" else settled(work))
        if value == "1s":
            await eventually(lambda: passes(operator, before + 3))
            return
        await asyncio.sleep(3)
        assert not await passes(operator, before + 2)


async def passes(operator, count):
    """Tell whether there were so many passes."""
    return operator.total("controller_runtime_reconcile_total") >= count


async def test_t23_period_of_a_row(scene):
    """The period in watches.yaml wins over the flag."""
    with scene.alone(scene.stage.row("Web", reconcilePeriod="1s"), period="10m") as operator:
        await scene.install("Web", "a")
        before = operator.total("controller_runtime_reconcile_total")
        await eventually(lambda: passes(operator, before + 3))
