"""Which release a custom resource gets, and what it does where that is somebody else's."""

from __future__ import annotations

from gateway_operator.releases import names
from releases_lab import CHARTS, conditions, eventually


async def test_t38_one_name_in_three_kinds(world):
    """T38: each has a release of its own, also after a restart, and each uninstall takes its own objects only."""
    for kind in ("Site", "Page"):
        await world.define(kind)
    chart = {"Web": "web", "Site": "hooked", "Page": "hooked"}
    settings = world.settings(*(world.row(kind, chart[kind]) for kind in chart))
    async with world.engine(settings):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        # hooked's objects have the release's name, which differs
        for kind in ("Site", "Page"):
            await world.custom(kind, "a", {"text": kind})
            await world.ready(kind, "a")
        releases = {kind: (await world.look(kind, "a"))["status"]["deployedRelease"]["name"] for kind in chart}
        assert releases == {"Web": "a", "Site": "a-site", "Page": "a-page"}
    runs = len(world.calls)
    async with world.engine(settings):
        await world.change("Site", "a", {"text": "two"})
        await eventually(lambda: revised(world, "Site", 2))
        assert len(world.calls) == runs + 1
        await world.delete(world.api_version, "Site", "a")
        await eventually(lambda: world.gone(world.api_version, "Site", "a"))
        assert await world.records("a-site") == []
        for kind in ("Web", "Page"):
            await world.ready(kind, "a")
        assert (await world.get("v1", "ConfigMap", "a-page"))["data"] == {"text": "Page"}
        await world.get("v1", "ConfigMap", "a")
        for kind in ("Web", "Page"):
            await world.delete(world.api_version, kind, "a")
        for kind in ("Web", "Page"):
            await eventually(lambda kind=kind: world.gone(world.api_version, kind, "a"))
        assert await world.records("a") + await world.records("a-page") == []


async def revised(world, kind, revision):
    """Tell whether the status names this revision."""
    return (await world.look(kind, "a"))["status"]["deployedRelease"]["revision"] == revision


async def test_t28_foreign_release_is_told_without_a_helm_run(world):
    """T28, G8: a release of another chart is Irreconcilable, at once; when it goes, ours is installed."""
    await world.helm("install", "a", str(CHARTS / "hooked"))
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "first")
        await world.ready("Web", "first")
        await world.custom("Web", "a")
        found = await world.condition("Web", "a", "Irreconcilable", "True", "ReleaseNameTaken")
        assert "of another chart" in found["message"]
        obj = await world.look("Web", "a")
        assert conditions(obj)["Ready"]["reason"] == "ReleaseNameTaken"
        assert conditions(obj)["Deployed"]["status"] == "False"
        assert "deployedRelease" not in obj["status"]
        assert len(world.calls) == 1
        await world.helm("uninstall", "a")
        await world.ready("Web", "a")


async def test_t35_long_names_are_stable(world):
    """T35: two names that differ beyond the limit get two releases, which a restart finds again."""
    settings = world.settings(world.row("Web"))
    async with world.engine(settings):
        found = []
        for end in ("x", "y"):
            await world.custom("Web", "n" * 62 + end)
            found.append((await world.ready("Web", "n" * 62 + end))["status"]["deployedRelease"]["name"])
        assert len(set(found)) == 2
        assert {len(name) for name in found} == {53}
    async with world.engine(settings):
        await world.change("Web", "n" * 62 + "x", {"text": "two"})
        await eventually(lambda: text(world, found[0]))
        [_, record] = await world.records(found[0])
        assert record["metadata"]["labels"][names.REVISION_LABEL] == "2"
        await world.delete(world.api_version, "Web", "n" * 62 + "y")
        await eventually(lambda: world.gone(world.api_version, "Web", "n" * 62 + "y"))
        assert await world.records(found[1]) == []
    assert world.verbs == ["upgrade", "upgrade", "upgrade", "uninstall"]


async def text(world, name):
    """Tell whether a ConfigMap has the new text."""
    return (await world.get("v1", "ConfigMap", name))["data"] == {"text": "two"}
