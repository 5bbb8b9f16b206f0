"""watches.yaml and charts change while the engine runs: rows, streams, waves."""

from __future__ import annotations

import asyncio
import shutil

import pytest
import yaml

from gateway_operator.kube import EventRecorder, ObjectRef
from gateway_operator.releases import names
from gateway_operator.releases.engine import Engine
from releases_lab import CHARTS, conditions, eventually


@pytest.fixture
def chart(world):
    """A copy of the chart `web` that a test may edit."""
    shutil.copytree(CHARTS / "web", world.folder / "web")
    return world.folder / "web"


@pytest.fixture(autouse=True)
def _looked_at_often(monkeypatch):
    """Changes of files are seen sooner than in life, to save time."""
    monkeypatch.setattr("gateway_operator.releases.engine.LOOK_EVERY", 0.3)


def edit(chart, label):
    """Change what every release of the chart looks like; returns the file's text before."""
    file = chart / "templates" / "objects.yaml"
    before = file.read_text()
    file.write_text(before.replace("data:\n  text:", f"data:\n  edition: {label}\n  text:", 1))
    return before


def write_rows(world, *rows):
    (world.folder / "watches.yaml").write_text(yaml.safe_dump(list(rows)))


async def edition(world, name):
    """Return which chart an object of a release was made by."""
    return (await world.get("v1", "ConfigMap", name))["data"].get("edition")


async def editions(world, count):
    return [await edition(world, f"o{n}") for n in range(count)]


async def test_rows_come_and_go(world):
    """An added row is served, a removed one is left as it is and served again when it comes back."""
    await world.define("Other")
    web, other = world.row("Web"), world.row("Other")
    async with world.engine(world.settings(web)) as engine:
        await world.custom("Web", "a")
        await world.custom("Other", "b")
        await world.ready("Web", "a")
        write_rows(world, web, other)
        await world.ready("Other", "b")

        write_rows(world, other)
        await eventually(lambda: served(engine, world, {"Other"}))
        await world.change("Web", "a", {"port": 81})
        await world.delete("v1", "ConfigMap", "a")
        await asyncio.sleep(1)
        assert await world.gone("v1", "ConfigMap", "a")
        assert (await world.get("v1", "Service", "a"))["spec"]["ports"][0]["port"] == 80
        assert names.FINALIZER in (await world.look("Web", "a"))["metadata"]["finalizers"]

        write_rows(world, other, web)
        await world.ready("Web", "a")
        assert (await world.get("v1", "Service", "a"))["spec"]["ports"][0]["port"] == 81
        assert not await world.gone("v1", "ConfigMap", "a")


async def served(engine, world, kinds):
    return {r.row for r in engine.health().rows} == {f"{kind}.{world.group}" for kind in kinds}


async def test_a_wrong_file_is_told_and_changes_nothing(world):
    """The engine stays ready with its last good rows; the mistake is in health and in an Event."""
    about = ObjectRef("coordination.k8s.io/v1", "Lease", world.namespace, "operator")
    async with world.engine(world.settings(world.row("Web")), about=about) as engine:
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        (world.folder / "watches.yaml").write_text("- {kind: Web}")
        await eventually(lambda: told(engine, "version: is missing"))
        assert engine.health().ready
        assert await eventually(lambda: world.events("WatchesInvalid"))
        await world.change("Web", "a", {"port": 81})
        await world.ready("Web", "a")
        write_rows(world, world.row("Web"))
        await eventually(lambda: told(engine, None))


async def told(engine, text):
    return engine.health().reload is None if text is None else text in (engine.health().reload or "")


async def test_changed_overrides_reach_every_release(world):
    """Without a restart, and once each."""
    async with world.engine(world.settings(world.row("Web"), rollout_waves=("100%",))):
        for n in range(3):
            await world.custom("Web", f"o{n}")
        for n in range(3):
            await world.ready("Web", f"o{n}")
        runs = len(world.calls)
        write_rows(world, world.row("Web", overrideValues={"text": "over"}))

        async def all_have_it():
            return all([(await world.get("v1", "ConfigMap", f"o{n}"))["data"]["text"] == "over" for n in range(3)])

        await eventually(all_have_it)
        await asyncio.sleep(1)
        assert len(world.calls) == runs + 3


async def test_another_version_is_another_stream(world):
    """A row that goes over to a version that isn't served waits for it; back at the old one, all is as before."""
    async with world.engine(world.settings(world.row("Web"))) as engine:
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        write_rows(world, world.row("Web") | {"version": "v9"})

        async def waits():
            [row] = engine.health().rows
            return not row.serving and "v9" in (row.problem or "")

        await eventually(waits)
        assert engine.health().ready
        runs = len(world.calls)
        write_rows(world, world.row("Web"))
        await eventually(lambda: served_now(engine))
        assert len(world.calls) == runs
        await world.change("Web", "a", {"port": 81})
        await world.ready("Web", "a")


async def served_now(engine):
    return all(row.serving for row in engine.health().rows)


async def test_helm_runs_what_was_digested(world, chart):
    """A chart that is edited while helm starts is not mixed into a release of the old one."""
    async with world.engine(world.settings(world.row("Web", chart=str(chart)))):
        with world.held():
            await world.custom("Web", "a")
            await eventually(lambda: called(world, 1))
            edit(chart, "two")
        await eventually(lambda: has_edition(world, "a", "two"))
        first, *_ = await world.records("a")
        digests = [r["metadata"]["labels"][names.CHART_LABEL] for r in await world.records("a")]
        assert len(set(digests)) == 2
        assert first["metadata"]["labels"]["version"] == "1"


async def called(world, count):
    return len(world.calls) >= count


async def has_edition(world, name, wanted):
    return await edition(world, name) == wanted


async def test_kk4113_kk5005_kk6467_kk6477_a_new_chart_goes_in_waves(world, chart):
    """First one object, then the others; each upgraded once."""
    async with world.engine(world.settings(world.row("Web", chart=str(chart)))) as engine:
        for n in range(5):
            await world.custom("Web", f"o{n}")
        for n in range(5):
            await world.ready("Web", f"o{n}")
        runs = len(world.calls)
        with world.held():
            edit(chart, "two")
            await eventually(lambda: called(world, runs + 1))
            await asyncio.sleep(1)
            assert [name for _, _, name in world.calls[runs:]] == ["o0"]
            await eventually(lambda: rolls_out(engine, upgrading=1, waiting=4))
        await eventually(lambda: all_editions(world, 5, "two"))
        await asyncio.sleep(1)
        assert sorted(name for _, _, name in world.calls[runs:]) == [f"o{n}" for n in range(5)]
        await eventually(lambda: is_through(engine))


async def rolls_out(engine, **numbers):
    [row] = engine.health().rows
    return numbers.items() <= (row.rollout or {}).items()


async def is_through(engine):
    return engine.health().rows[0].rollout is None


async def all_editions(world, count, wanted):
    return await editions(world, count) == [wanted] * count


async def test_a_bad_chart_stops_at_its_first_object(world, chart):
    """The rest keep the old chart and say why; what they ask for is done with the old one; the fix goes on."""
    async with world.engine(world.settings(world.row("Web", chart=str(chart)))) as engine:
        for n in range(3):
            await world.custom("Web", f"o{n}")
        for n in range(3):
            await world.ready("Web", f"o{n}")
        edit(chart, "{{ fail `no good` }}")
        await world.condition("Web", "o0", "ReleaseFailed", "True", "UpgradeError")

        async def say_so():
            objects = [await world.look("Web", f"o{n}") for n in (1, 2)]
            return all("stopped by failure of Web" in o["status"]["message"] for o in objects)

        await eventually(say_so)
        await eventually(lambda: world.events("RolloutStopped"))
        assert engine.health().rows[0].rollout["stoppedBy"].endswith("/o0")
        held = await world.look("Web", "o1")
        assert conditions(held)["Ready"]["status"] == "True"
        await world.change("Web", "o1", {"port": 81})
        await world.ready("Web", "o1")
        assert (await world.get("v1", "Service", "o1"))["spec"]["ports"][0]["port"] == 81
        await world.custom("Web", "new")
        await world.condition("Web", "new", "ReleaseFailed", "True", "InstallError")

        file = chart / "templates" / "objects.yaml"
        file.write_text(file.read_text().replace("{{ fail `no good` }}", "three"))
        await eventually(lambda: all_editions(world, 3, "three"))
        await eventually(lambda: has_edition(world, "new", "three"))
        obj = await world.ready("Web", "o2")
        assert "held" not in obj["status"]["message"]


async def test_a_chart_that_changed_while_nobody_ran_goes_in_waves_too(world, chart):
    """After a restart the old chart is gone: who waits keeps what it has, unless its own spec changed."""
    settings = world.settings(world.row("Web", chart=str(chart)))
    async with world.engine(settings):
        for n in range(4):
            await world.custom("Web", f"o{n}")
        for n in range(4):
            await world.ready("Web", f"o{n}")
    edit(chart, "{{ if eq .Release.Name `o0` }}{{ fail `no good` }}{{ end }}two")
    await world.change("Web", "o3", {"port": 81})
    runs = len(world.calls)
    async with world.engine(settings):
        await world.condition("Web", "o0", "ReleaseFailed", "True", "UpgradeError")
        await eventually(lambda: has_edition(world, "o3", "two"))
        await world.delete("v1", "ConfigMap", "o1")  # repairs go on
        await eventually(lambda: has_edition(world, "o1", None))
        assert await editions(world, 4) == [None, None, None, "two"]
        assert {name for _, _, name in world.calls[runs:]} == {"o0", "o3"}
        await world.patch(
            world.api_version, "Web", "o2", {"metadata": {"annotations": {"gateway.kubesphere.io/force-at": "now"}}}
        )
        await eventually(lambda: has_edition(world, "o2", "two"))  # people may go ahead
        await world.delete(world.api_version, "Web", "o0")
        await eventually(lambda: has_edition(world, "o1", "two"))  # and nobody waits for what is gone


async def test_who_begins_to_lead_reads_the_files_first(world):
    """A replica that waited long doesn't bring releases back to what the files said when it started."""
    settings = world.settings(world.row("Web", overrideValues={"text": "old"}))
    waiting = Engine(world.api, settings, recorder=EventRecorder(world.api, component="gateway-operator"))
    write_rows(world, world.row("Web", overrideValues={"text": "new"}))
    await world.custom("Web", "a")
    task = asyncio.create_task(waiting.run())
    try:
        await world.ready("Web", "a")
        assert (await world.get("v1", "ConfigMap", "a"))["data"]["text"] == "new"
        assert len(world.calls) == 1
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
