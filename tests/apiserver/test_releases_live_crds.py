"""CRDs that come with charts: left alone, installed once, or kept as the chart has them."""

from __future__ import annotations

import shutil

import pytest

from gateway_operator.errors import NotFound
from releases_lab import CHARTS, conditions, eventually

CRDS = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")


@pytest.fixture
def chart(world):
    """A copy of a chart with CRDs in the test's own group."""
    folder = world.folder / "withcrds"
    shutil.copytree(CHARTS / "withcrds", folder)
    for file in folder.rglob("crds/*.yaml"):
        file.write_text(file.read_text().replace("GROUP", world.group))
    return folder


def edit(chart, name, before, after):
    """Change a CRD file of the chart."""
    [file] = chart.rglob(f"crds/{name}.yaml")
    file.write_text(file.read_text().replace(before, after))


async def described(world, plural):
    """Return the description in a CRD, or None where there is none."""
    try:
        crd = await world.get(*CRDS, f"{plural}.{world.group}", None)
    except NotFound:
        return None
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].get("description")


async def test_skip_installs_none(world, chart):
    """Somebody else looks after CRDs."""
    async with world.engine(world.settings(world.row("Web", chart=str(chart), crdPolicy="Skip"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        assert await described(world, "widgets") is None


async def test_create_installs_and_never_touches_again(world, chart):
    """Helm's own way."""
    async with world.engine(world.settings(world.row("Web", chart=str(chart)))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        assert await described(world, "widgets") == "edition one"
        edit(chart, "widget", "edition one", "edition two")
        await eventually(lambda: revision(world, 2))
        assert await described(world, "widgets") == "edition one"


async def revision(world, number):
    return len(await world.records("a")) >= number


async def test_t34_create_replace_follows_the_chart_and_its_enabled_subcharts(world, chart):
    """T34: a subchart's CRDs come when it is enabled; a changed CRD is replaced; nothing is ever deleted."""
    async with world.engine(world.settings(world.row("Web", chart=str(chart), crdPolicy="CreateReplace"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        assert await described(world, "widgets") == "edition one"
        assert await described(world, "gadgets") is None

        edit(chart, "widget", "edition one", "edition two")
        edit(chart, "gadget", "edition one", "edition two")
        await world.change("Web", "a", {"extra": {"enabled": True}})
        await eventually(lambda: has(world, "widgets", "edition two"))
        await eventually(lambda: has(world, "gadgets", "edition two"))
        await world.ready("Web", "a")

        await world.change("Web", "a", {"extra": {"enabled": False}})
        (chart / "crds" / "widget.yaml").unlink()
        await eventually(lambda: revision(world, 4))
        await world.ready("Web", "a")
        assert await described(world, "widgets") == "edition two"
        assert await described(world, "gadgets") == "edition two"


async def has(world, plural, text):
    return await described(world, plural) == text


async def test_a_crd_that_would_lose_stored_objects_is_refused(world, chart):
    """The chart isn't upgraded, the CRD stays, and the message says what to do."""
    async with world.engine(world.settings(world.row("Web", chart=str(chart), crdPolicy="CreateReplace"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        edit(chart, "widget", "name: v1", "name: v2")
        failed = await world.condition("Web", "a", "ReleaseFailed", "True", "UpgradeError")
        assert f"widgets.{world.group} lacks the versions v1" in failed["message"]
        assert conditions(await world.look("Web", "a"))["Deployed"]["status"] == "True"
        assert await described(world, "widgets") == "edition one"
        assert len(await world.records("a")) == 1
        edit(chart, "widget", "name: v2", "name: v1")
        await world.ready("Web", "a")
