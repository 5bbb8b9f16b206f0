"""What annotations of a custom resource make the engine do, with a real helm."""

from __future__ import annotations

import asyncio

from gateway_operator.releases import names
from gateway_operator.releases.annotations import PEERS
from gateway_operator.releases.reconciler import Reconciler
from gateway_operator.releases.records import decode_payload
from releases_lab import conditions, eventually


async def test_t18_pause(world):
    """T18: paused: no upgrade, no repair, no uninstall, and a status that says so; all of it happens on resume."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"text": "one"})
        await world.ready("Web", "a")
        await world.annotate("Web", "a", paused="true")
        await world.condition("Web", "a", "Paused", "True", "PauseReconcileAnnotationTrue")
        await world.change("Web", "a", {"text": "two"})
        await world.condition("Web", "a", "Ready", "False", "Paused")
        await world.patch("v1", "ConfigMap", "a", {"data": {"text": "by hand"}})
        await world.delete(world.api_version, "Web", "a")
        await asyncio.sleep(1.5)
        obj = await world.look("Web", "a")
        assert obj["metadata"]["finalizers"] == [names.FINALIZER]
        assert obj["status"]["deployedRelease"]["revision"] == 1
        assert (await world.get("v1", "ConfigMap", "a"))["data"] == {"text": "by hand"}
        assert world.verbs == ["upgrade"]
        await world.annotate("Web", "a", paused=None)
        await eventually(lambda: world.gone(world.api_version, "Web", "a"))
    assert world.verbs == ["upgrade", "uninstall"]


async def test_resume_goes_on(world):
    """What changed meanwhile is done by one run, and the condition is False from then on."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"text": "one"}, annotations={f"{names.GROUP}/paused": "1"})
        await world.condition("Web", "a", "Ready", "False", "Paused")
        assert world.calls == []
        await world.change("Web", "a", {"text": "two"})
        await world.annotate("Web", "a", paused="false")
        obj = await world.ready("Web", "a")
        assert conditions(obj)["Paused"]["status"] == "False"
    assert world.verbs == ["upgrade"]


async def test_t33_tokens(world):
    """T33: force-at upgrades once, reconcile-at compares once; each is echoed, and neither is done again."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        await world.annotate("Web", "a", force_at="monday", reconcile_at="noon")

        async def handled():
            status = (await world.look("Web", "a"))["status"]
            found = status.get("lastHandledForceAt"), status.get("lastHandledReconcileAt")
            return found == ("monday", "noon") and status["deployedRelease"]["revision"] == 2

        await eventually(handled)
        assert world.verbs == ["upgrade", "upgrade"]
        await world.annotate("Web", "a", unrelated="x")
        await asyncio.sleep(1)
    assert world.verbs == ["upgrade", "upgrade"]


async def test_rollback_to_holds_until_the_annotation_goes(world):
    """One rollback, then nothing, whatever the spec says; drift is still repaired, to the old revision."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"text": "one"})
        await world.ready("Web", "a")
        await world.change("Web", "a", {"text": "two"})
        await eventually(lambda: text(world, "two"))
        await world.ready("Web", "a")
        await world.annotate("Web", "a", rollback_to="1")
        held = await world.condition("Web", "a", "Held", "True", "RolledBack")
        assert "remove the annotation" in held["message"]
        await eventually(lambda: text(world, "one"))
        await world.condition("Web", "a", "Ready", "False", "RolledBack")
        await world.change("Web", "a", {"text": "three"})
        await world.patch("v1", "ConfigMap", "a", {"data": {"text": "by hand"}})
        await eventually(lambda: text(world, "one"))
        assert world.verbs == ["upgrade", "upgrade", "rollback"]
        await world.annotate("Web", "a", rollback_to=None)
        await eventually(lambda: text(world, "three"))
        obj = await world.ready("Web", "a")
        assert conditions(obj)["Held"]["status"] == "False"
        assert obj["status"]["deployedRelease"]["revision"] == 4
    assert world.verbs == ["upgrade", "upgrade", "rollback", "upgrade"]


async def text(world, expected):
    """Tell whether the ConfigMap says this."""
    return (await world.get("v1", "ConfigMap", "a"))["data"] == {"text": expected}


async def test_rollback_to_a_revision_that_is_not_there(world):
    """Said with the revisions that are; nothing runs."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        await world.annotate("Web", "a", rollback_to="7")
        failed = await world.condition("Web", "a", "ReleaseFailed", "True", "RollbackError")
        assert "no revision 7; it has 1" in failed["message"]
    assert world.verbs == ["upgrade"]


async def test_t23_period_of_one_object(world, monkeypatch):
    """T23: the annotation wins over row and setting; 0 turns it off; a bad one is told and changes nothing."""
    passes = []
    real = Reconciler.__call__

    async def counted(self, key, reasons):
        passes.append((key.name, reasons))
        return await real(self, key, reasons)

    monkeypatch.setattr(Reconciler, "__call__", counted)
    async with world.engine(world.settings(world.row("Web", reconcilePeriod="1h"))):
        await world.custom("Web", "often", annotations={f"{PEERS}reconcile-period": "300ms"})
        await world.custom("Web", "never", annotations={f"{names.GROUP}/reconcile-period": "0"})
        await world.custom("Web", "bad", annotations={f"{PEERS}reconcile-period": "soon"})
        for name in ("often", "never", "bad"):
            await world.ready("Web", name)

        def periodic():
            return [name for name, reasons in passes if "requeue" in reasons]

        async def thrice():
            return periodic().count("often") >= 3

        passes.clear()
        await eventually(thrice)
        assert set(periodic()) == {"often"}
        assert "reconcile-period is ignored" in (await world.look("Web", "bad"))["status"]["message"]
        [message] = await eventually(lambda: world.events("AnnotationIgnored"))
        assert "'soon' is no duration" in message


async def test_descriptions_and_hooks(world):
    """Peers' annotations for install, upgrade and uninstall reach helm; a hook that never ends isn't run."""
    given = {
        f"{PEERS}install-disable-hooks": "true",
        f"{PEERS}upgrade-disable-hooks": "true",
        f"{PEERS}uninstall-disable-hooks": "true",
        f"{PEERS}install-description": "opened",
        f"{PEERS}upgrade-description": "moved",
    }
    async with world.engine(world.settings(world.row("Web", "hooked"))):
        hooks = '"pre-install,pre-upgrade,pre-delete"'
        await world.custom("Web", "a", {"hook": hooks}, annotations=given)
        await world.ready("Web", "a")
        assert decode_payload((await world.records("a"))[-1])["info"]["description"] == "opened"
        await world.change("Web", "a", {"text": "two"})
        await eventually(lambda: text(world, "two"))
        await world.ready("Web", "a")
        assert decode_payload((await world.records("a"))[-1])["info"]["description"] == "moved"
        await world.delete(world.api_version, "Web", "a")
        await eventually(lambda: world.gone(world.api_version, "Web", "a"))
    assert await world.gone("batch/v1", "Job", "a-migrate")
