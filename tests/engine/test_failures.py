"""What goes wrong with a release: T08, T09, T11, T12, T17, T24, T26 to T28, T33 and T36."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway_operator.errors import ApiError
from tests.apiserver.releases_lab import eventually, settled
from tests.engine.scenes import CHARTS, is_true, needs

ROWS = {"Web": {}}
PORT = 99999999  # the API server refuses the Service


@pytest.mark.long  # test_releases_faults_upgrades.py
async def test_t08_failed_install_is_told_and_leaves_nothing(scene):
    """A failed install is ReleaseFailed/InstallError, the finalizer is there, and objects of the half install go."""
    await scene.custom("Web", "a", {"port": PORT})
    found = await scene.fails("Web", "a", "ReleaseFailed")
    assert found["reason"] == "InstallError"
    await eventually(lambda: scene.gone("v1", "ConfigMap", "a"))
    assert scene.profile.finalizer in (await scene.look("Web", "a"))["metadata"].get("finalizers", [])
    await scene.change("Web", "a", {"port": 81})
    await scene.deployed("Web", "a")


async def test_t08_failed_install_is_tried_again(scene):
    """A failed install is tried again when what was in the way is gone."""
    async with scene.denied("services", "CREATE"):
        await scene.custom("Web", "a")
        found = await scene.fails("Web", "a", "ReleaseFailed")
        assert "denied by the test" in found["message"]
    await scene.deployed("Web", "a", within=180)


async def test_t09_values_that_are_no_map(scene):
    """A spec that is no map is Irreconcilable, without a run of helm and without a record."""
    await scene.create(scene.api_version, "Web", "a", spec=["no", "map"])
    await scene.fails("Web", "a", "Irreconcilable")
    assert await scene.records("a") == []
    assert not [c for c in scene.stage.shim.calls("a") if scene.namespace in c.arguments]


@pytest.mark.long  # test_releases_faults.py
async def test_t09_values_against_the_schema(scene):
    """A value against the chart's schema: a failure is told, no revision is made, and the right value heals."""
    await scene.custom("Web", "a", {"text": 3})
    found = await scene.fails("Web", "a")
    assert "text" in found["message"]
    assert await scene.steady(lambda: scene.records("a"), seconds=2) == []
    await scene.change("Web", "a", {"text": "three"})
    await scene.deployed("Web", "a")


@pytest.mark.parametrize("status", ["failed", "superseded"])
async def test_t11_release_that_is_not_deployed_is_upgraded(scene, status):
    """A release whose record says failed or superseded is upgraded, not skipped as unchanged."""
    await scene.install("Web", "a")
    await scene.plant("a", status)
    await scene.poke("Web", "a")

    async def healed():
        assert (await scene.revisions("a"))[-1][1] == "deployed"
        return True

    await eventually(healed)
    await scene.deployed("Web", "a")
    assert await scene.text("a") == "hello"


@pytest.mark.long  # test_releases_faults_upgrades.py
async def test_t12_failed_upgrade_is_rolled_back(scene):
    """A failed upgrade is UpgradeError and rolled back: the old objects serve, and the finalizer stays."""
    await scene.install("Web", "a", {"text": "good"})
    await scene.change("Web", "a", {"text": "bad", "port": PORT})
    found = await scene.fails("Web", "a", "ReleaseFailed")
    assert found["reason"] == "UpgradeError"
    await scene.says("a", "good")

    async def settled():
        assert (await scene.revisions("a"))[-1][1] == "deployed"
        return True

    await eventually(settled)
    obj = await scene.look("Web", "a")
    assert scene.profile.finalizer in obj["metadata"]["finalizers"]
    assert is_true(obj, "Deployed")


@pytest.mark.long  # test_releases_faults_upgrades.py
async def test_t12_failed_upgrade_is_not_repeated_without_end(scene):
    """A broken change makes at most two revisions however long it stays; the fix goes in at once."""
    await scene.install("Web", "a", {"text": "good"})
    await scene.change("Web", "a", {"text": "bad", "port": PORT})
    await scene.fails("Web", "a", "ReleaseFailed")
    await settled(lambda: scene.revisions("a"), seconds=4)  # more than the pause after a first failure
    assert (await scene.revisions("a"))[-1][0] <= 3
    await scene.change("Web", "a", {"text": "better", "port": 81})
    await scene.deployed("Web", "a")
    assert await scene.text("a") == "better"


async def test_t17_failed_uninstall_is_told_and_repeated(scene):
    """A failed uninstall is UninstallError, the finalizer stays, and the resource goes when the cause is gone."""
    await scene.install("Web", "a")
    async with scene.denied("configmaps", "DELETE", name="a"):
        await scene.delete(scene.api_version, "Web", "a")
        found = await scene.fails("Web", "a", "ReleaseFailed")
        assert found["reason"] == "UninstallError"
        assert scene.profile.finalizer in (await scene.look("Web", "a"))["metadata"]["finalizers"]
    await eventually(lambda: scene.gone(scene.api_version, "Web", "a"), within=180)
    assert await scene.gone("v1", "ConfigMap", "a")


async def test_t24_conditions_of_others_are_kept(scene):
    """Another writer's condition in the status stays."""
    await scene.install("Web", "a")
    passes = scene.operator.total
    await settled(lambda: asyncio.sleep(0, passes("controller_runtime_reconcile_total")), seconds=1)
    obj = await scene.look("Web", "a")
    other = {
        "type": "Checked",
        "status": "True",
        "reason": "Suite",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    await scene.patch(
        scene.api_version,
        "Web",
        "a",
        {"status": {"conditions": [*obj["status"]["conditions"], other]}},
        subresource="status",
    )
    await scene.change("Web", "a", {"text": "two"})
    await scene.deployed("Web", "a", revision=2)
    assert is_true(await scene.look("Web", "a"), "Checked")


async def test_t26_pending_releases_are_recovered(scene):
    """Whatever an operator was doing when it died, the releases end deployed without a human act."""
    states = ("pending-install", "pending-upgrade", "pending-rollback")
    for state in states:
        await scene.install("Web", state)
    scene.operator.stop(kill=True)
    for state in states:
        await scene.plant(state, state)
        await scene.delete("v1", "Service", state)
    scene.operator.start()
    for state in states:

        async def healed(state=state):
            return (await scene.revisions(state))[-1][1] == "deployed"

        await eventually(healed)
        await scene.deployed("Web", state)
        await eventually(lambda state=state: scene.get("v1", "Service", state))


async def brought_back(scene, text):
    """Check that the release says `text` again, after one action and no more."""
    await scene.poke("Web", "a")
    await scene.says("a", text)
    await scene.deployed("Web", "a")
    await settled(lambda: newest(scene))
    return await scene.revisions("a")


async def newest(scene):
    return (await scene.revisions("a"))[-1]


@pytest.mark.long  # test_releases_faults_records.py
async def test_t27_upgraded_outside(scene):
    """Somebody's helm upgrade is undone by one upgrade."""
    await scene.install("Web", "a")
    await scene.helm("upgrade", "a", CHARTS / "app", "--set", "text=outside")
    revisions = await brought_back(scene, "hello")
    assert revisions[-1] == (3, "deployed")


@pytest.mark.long  # test_releases_faults_records.py
async def test_t27_rolled_back_outside(scene):
    """Somebody's helm rollback is undone by one upgrade."""
    await scene.install("Web", "a")
    await scene.change("Web", "a", {"text": "two"})
    await scene.deployed("Web", "a", revision=2)
    await scene.helm("rollback", "a", "1")
    revisions = await brought_back(scene, "two")
    assert revisions[-1] == (4, "deployed")


@pytest.mark.long  # test_releases_faults_records.py
async def test_t27_deleted_outside(scene):
    """After somebody's helm uninstall, the release is installed again."""
    await scene.install("Web", "a")
    await scene.helm("uninstall", "a")
    revisions = await brought_back(scene, "hello")
    assert revisions[-1] == (1, "deployed")


async def test_t27_part_of_the_history_deleted(scene):
    """Old revisions that somebody deleted don't matter."""
    await scene.install("Web", "a")
    await scene.change("Web", "a", {"text": "two"})
    await scene.deployed("Web", "a", revision=2)
    records = await scene.records("a")
    for record in records[:-1]:
        await scene.delete("v1", "Secret", record["metadata"]["name"])
    revisions = await brought_back(scene, "two")
    assert revisions == [(2, "deployed")]
    await scene.change("Web", "a", {"text": "three"})
    await scene.deployed("Web", "a", revision=3)


async def test_t28_object_of_somebody_else(scene):
    """An object that exists and isn't Helm's is not taken; when it is given, it is."""
    await scene.create("v1", "ConfigMap", "a", data={"text": "theirs"})
    await scene.custom("Web", "a")
    found = await scene.fails("Web", "a")
    assert "ConfigMap" in found["message"]
    assert await scene.text("a") == "theirs"
    meta = {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "a", "meta.helm.sh/release-namespace": scene.namespace},
    }
    await scene.patch("v1", "ConfigMap", "a", {"metadata": meta})
    await scene.deployed("Web", "a", within=180)
    assert await scene.text("a") == "hello"


async def test_t28_release_of_another_chart(scene):
    """A release of the same name and another chart: a clear condition, and it is never touched."""
    await scene.helm("install", "a", CHARTS / "app-crds", "--skip-crds")
    before = await scene.records("a")
    await scene.custom("Web", "a")
    await scene.fails("Web", "a")
    await scene.remove("Web", "a")
    assert [r["metadata"]["uid"] for r in await scene.records("a")] == [r["metadata"]["uid"] for r in before]
    assert await scene.text("a") == "hello"


@pytest.mark.long  # test_releases_faults_records.py
async def test_t28_release_of_the_same_chart_is_adopted(scene):
    """A release that somebody installed from the chart is taken over in place."""
    await scene.helm("install", "a", CHARTS / "app", "--set", "text=theirs")
    uid = (await scene.get("v1", "Service", "a"))["metadata"]["uid"]
    await scene.install("Web", "a", {"text": "ours"})
    await scene.says("a", "ours")
    assert (await scene.get("v1", "Service", "a"))["metadata"]["uid"] == uid
    await scene.remove("Web", "a")
    assert await scene.records("a") == []


@pytest.mark.long  # test_releases_faults_upgrades.py
async def test_t33_failing_upgrade_stalls_and_a_token_resumes_it(scene):
    """After its try a broken upgrade rests; the reset token allows another, once, and is echoed."""
    annotation, echo = scene.profile.reset
    needs(annotation, "it has no reset token")
    await scene.install("Web", "a")
    async with scene.denied("services", "UPDATE"):
        await scene.change("Web", "a", {"text": "two", "port": PORT})
        await scene.fails("Web", "a", "ReleaseFailed")

    async def runs():
        return len([c for c in scene.stage.shim.calls("a") if scene.namespace in c.arguments])

    before = await settled(runs, seconds=4)
    assert before <= 4  # the install, the upgrade, its rollback
    await scene.annotate("Web", "a", **{annotation: "token-1"})

    async def tried():
        assert (await scene.look("Web", "a"))["status"].get(echo) == "token-1"
        assert (await scene.revisions("a"))[-1][1] == "deployed"  # rolled back again
        return await runs() > before + 1

    await eventually(tried)
    assert await settled(runs, seconds=3) <= before + 4


@pytest.mark.long  # test_releases_life_annotations.py
async def test_t33_force_token_upgrades_what_did_not_change(scene):
    """The force token is one upgrade of what did not change."""
    annotation, echo = scene.profile.force
    needs(annotation, "it has no force token")
    await scene.install("Web", "a")
    await scene.annotate("Web", "a", **{annotation: "token-1"})
    await scene.deployed("Web", "a", revision=2)

    async def echoed():
        return (await scene.look("Web", "a"))["status"].get(echo) == "token-1"

    await eventually(echoed)
    assert (await scene.steady(lambda: scene.revisions("a"), seconds=2))[-1] == (2, "deployed")


async def test_t36_failing_delete_hook(scene):
    """With a failing delete hook, the uninstall says why, the resource stays, and goes when the hook can run."""
    annotations = {scene.profile.annotation("uninstall-wait"): "false"}
    await scene.install("Web", "a", {"hook": "pre-delete"}, annotations=annotations)
    async with scene.denied("jobs", "CREATE"):
        await scene.delete(scene.api_version, "Web", "a")
        found = await scene.fails("Web", "a", "ReleaseFailed")
        assert found["reason"] == "UninstallError"
        assert not await scene.gone(scene.api_version, "Web", "a")

    async def finished():
        with contextlib.suppress(ApiError, KeyError):  # the Job comes with the next try
            await finish_job(scene, "a-hook")
        return await scene.gone(scene.api_version, "Web", "a")

    await eventually(finished, within=180)


async def finish_job(scene, name):
    """Say that a Job has succeeded, as its controller would if there were a node to run its pod."""
    started = (await scene.get("batch/v1", "Job", name))["status"]["startTime"]
    kinds = ("SuccessCriteriaMet", "Complete")
    done = [{"type": kind, "status": "True", "reason": "Suite", "lastTransitionTime": started} for kind in kinds]
    none = dict.fromkeys(("active", "ready", "terminating"))
    status = {**none, "succeeded": 1, "completionTime": started, "conditions": done, "uncountedTerminatedPods": {}}
    await scene.patch("batch/v1", "Job", name, {"status": status}, subresource="status")


@pytest.mark.long  # test_releases_life_deletion.py
async def test_t36_stuck_uninstall_can_be_given_up(scene):
    """An annotation gives a stuck uninstall up, and a Warning names what may be left."""
    needs(scene.profile.give_up, "it has no annotation for that")
    await scene.install("Web", "a")
    async with scene.denied("configmaps", "DELETE", name="a"):
        await scene.delete(scene.api_version, "Web", "a")
        await scene.fails("Web", "a", "ReleaseFailed")
        await scene.annotate("Web", "a", **{scene.profile.give_up: "true"})
        await eventually(lambda: scene.gone(scene.api_version, "Web", "a"))
        assert not await scene.gone("v1", "ConfigMap", "a")
        await eventually(lambda: scene.warnings("a"))
