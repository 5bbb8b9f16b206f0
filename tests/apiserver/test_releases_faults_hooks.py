"""Helm runs that don't end: hooks that wait for ever, processes that are deaf, leaders that stop in the middle."""

from __future__ import annotations

import asyncio
from pathlib import Path

from releases_lab import conditions, eventually


async def test_t47_hook_that_never_ends(world):
    """T47: named in the status while it runs; it holds its own slot only, until the timeout, and is then the reason."""
    async with world.engine(world.settings(world.row("Web", "hooked", timeout="10s"))):
        await world.custom("Web", "stuck", {"hook": '"pre-install,pre-upgrade"'})
        await eventually(lambda: world.get("batch/v1", "Job", "stuck-migrate"))
        await world.custom("Web", "fine")
        await world.ready("Web", "fine")
        stuck = conditions(await world.look("Web", "stuck"))
        assert stuck.get("ReleaseFailed", {}).get("status") != "True"  # its time isn't over yet

        async def told():
            ready = conditions(await world.look("Web", "stuck")).get("Ready", {})
            assert ready.get("reason") == "Progressing"
            assert ready["message"].startswith("Deploying since ")
            return "hook Job stuck-migrate, phase pre-install" in ready["message"]

        await eventually(told)
        failed = await world.condition("Web", "stuck", "ReleaseFailed", "True", "InstallError")
        assert failed["message"].startswith("Timeout: hook Job stuck-migrate, phase pre-install: ")

        async def removed():
            return await world.records("stuck") == []

        await eventually(removed)


async def test_t47_hook_of_an_upgrade(world):
    """T47: the release that was there goes on serving; the failed upgrade is rolled back."""
    async with world.engine(world.settings(world.row("Web", "hooked", timeout="4s"))):
        await world.custom("Web", "a", {"text": "one"})
        await world.ready("Web", "a")
        await world.change("Web", "a", {"text": "two", "hook": "pre-upgrade"})
        failed = await world.condition("Web", "a", "ReleaseFailed", "True", "UpgradeError")
        assert failed["message"].startswith("Timeout: hook Job a-migrate, phase pre-upgrade: ")

        async def back():
            return (await world.look("Web", "a"))["status"]["deployedRelease"]["revision"] == 3

        await eventually(back)
        assert (await world.get("v1", "ConfigMap", "a"))["data"] == {"text": "one"}


async def test_t47_deaf_helm_is_killed(world, monkeypatch):
    """T47: a process that listens to nothing can't outlive its timeout by more than the grace."""
    monkeypatch.setattr("gateway_operator.releases.helm._HARD_LIMIT", 1.0)
    async with world.engine(world.settings(world.row("Web", timeout="2s"))):
        with world.hanging("upgrade"):
            await world.custom("Web", "a")
            failed = await world.condition("Web", "a", "ReleaseFailed", "True", "InstallError")
            assert failed["message"].startswith("Timeout: ")
            pid = world.calls[-1][0]
            await eventually(lambda: dead(pid))


async def dead(pid):
    """Tell whether a process is gone, or a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_t45_leader_switch_in_the_middle_of_an_upgrade(world):
    """T45: the old leader's helm is gone with it; the next leader finishes with one run, and nothing is doubled."""
    settings = world.settings(world.row("Web", "hooked"))
    async with world.engine(settings):
        await world.custom("Web", "a", {"text": "one"})
        await world.ready("Web", "a")
        await world.change("Web", "a", {"text": "two", "hook": "pre-upgrade"})
        await eventually(lambda: world.get("batch/v1", "Job", "a-migrate"))
        pid = world.calls[-1][0]
    assert await dead(pid)
    await world.delete("batch/v1", "Job", "a-migrate")
    before = len(await world.records("a"))
    await world.change("Web", "a", {"hook": ""})
    async with world.engine(settings.model_copy(update={"identity": "the-next-one"})):

        async def finished():
            obj = await world.ready("Web", "a", within=1)
            return obj["status"]["deployedRelease"]["revision"] == before + 1

        await eventually(finished)
        await asyncio.sleep(1)
    assert (await world.get("v1", "ConfigMap", "a"))["data"] == {"text": "two"}
    assert world.verbs == ["upgrade", "upgrade", "upgrade"]
    labels = [r["metadata"]["labels"]["status"] for r in await world.records("a")]
    assert labels == ["superseded", "failed", "deployed"]


async def test_retry_of_the_same_inputs_after_a_leader_switch(world):
    """T45: an upgrade that was cut off is no failure of its inputs: the next leader tries them at once."""
    settings = world.settings(world.row("Web"))
    async with world.engine(settings):
        await world.custom("Web", "a", {"text": "one"})
        await world.ready("Web", "a")
        with world.held():
            await world.change("Web", "a", {"text": "two", "count": 100})
            await eventually(lambda: called(world, 2))
        await eventually(lambda: called(world, 2))
    async with world.engine(settings):

        async def finished():
            return (await world.get("v1", "ConfigMap", "a"))["data"] == {"text": "two"}

        await eventually(finished)
        obj = await world.ready("Web", "a")
        assert conditions(obj)["ReleaseFailed"]["status"] == "False"
        assert "lastAttempt" not in obj["status"]


async def called(world, times):
    """Tell whether helm was run so often."""
    return len(world.calls) >= times
