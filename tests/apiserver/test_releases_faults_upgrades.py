"""Failed installs and upgrades: what is put back, how often they are tried, and what ends them."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil

import pytest

from gateway_operator.releases import names
from gateway_operator.releases.records import decode_payload
from releases_lab import CHARTS, World, conditions, eventually

BROKEN = {"port": 99999999}


async def revision(world, name, number):
    """Tell whether the status names this revision."""
    obj = await world.look("Web", name)
    return (obj["status"].get("deployedRelease") or {}).get("revision") == number


@pytest.fixture(params=["4", "3"])
async def any_world(request, api, api_cluster, tmp_path, helm_binary, helm3_binary):
    """A world with Helm 4, and one with Helm 3."""
    helm = helm_binary if request.param == "4" else helm3_binary
    made = World(api, api_cluster.kubeconfig, tmp_path, helm)
    await made.prepare("Web")
    return made


async def test_t12_failed_upgrade_is_rolled_back_once_and_not_repeated(any_world):
    """T12, T33: two new revisions, the old objects, one condition; a restart tries nothing; a fix goes in at once."""
    world = any_world
    settings = world.settings(world.row("Web"))
    async with world.engine(settings):
        await world.custom("Web", "a", {"text": "one"})
        await world.ready("Web", "a")
        await world.change("Web", "a", {"text": "two", **BROKEN})
        failed = await world.condition("Web", "a", "ReleaseFailed", "True", "UpgradeError")
        assert failed["message"].startswith("ObjectRefused: ")
        await eventually(lambda: revision(world, "a", 3))
        obj = await world.look("Web", "a")
        assert conditions(obj)["Deployed"]["status"] == "True"
        assert conditions(obj)["Ready"]["reason"] == "UpgradeError"
        assert obj["metadata"]["finalizers"] == [names.FINALIZER]
        attempt = obj["status"]["lastAttempt"]
        assert (attempt["failures"], attempt["lasting"]) == (1, True)
        assert (await world.get("v1", "ConfigMap", "a"))["data"] == {"text": "one"}
        labels = [r["metadata"]["labels"] for r in await world.records("a")]
        assert [entry["status"] for entry in labels] == ["superseded", "failed", "deployed"]
        assert labels[2][names.REVISION_LABEL] == "3"
        assert labels[2][names.ROLLED_BACK_LABEL] == "1"
        assert labels[2][names.DIGEST_LABEL] == labels[0][names.DIGEST_LABEL]
        await world.delete("v1", "ConfigMap", "a")  # wakes the pass again, and is put back
        await eventually(lambda: world.get("v1", "ConfigMap", "a"))
    async with world.engine(settings):
        await world.condition("Web", "a", "ReleaseFailed", "True", "UpgradeError")
        await asyncio.sleep(2)
        assert world.verbs == ["upgrade", "upgrade", "rollback"]
        assert (await world.look("Web", "a"))["status"]["lastAttempt"] == attempt
        await world.change("Web", "a", {"port": 81})
        obj = await world.ready("Web", "a")
        assert "lastAttempt" not in obj["status"]
    assert (await world.get("v1", "ConfigMap", "a"))["data"] == {"text": "two"}
    assert (await world.records("a"))[-1]["metadata"]["labels"].get(names.ROLLED_BACK_LABEL) is None
    assert world.verbs == ["upgrade", "upgrade", "rollback", "upgrade"]
    assert len(await world.events("RolledBack")) == 1
    assert len(await world.events("UpgradeFailed")) == 1


async def test_t13_change_taken_back_needs_no_revision(world):
    """T13: after the rollback the CR's old inputs are what is deployed: the condition clears, and nothing runs."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        await world.change("Web", "a", BROKEN)
        await eventually(lambda: revision(world, "a", 3))
        await world.change("Web", "a", {"port": None})
        obj = await world.ready("Web", "a")
        assert conditions(obj)["ReleaseFailed"]["status"] == "False"
        assert "lastAttempt" not in obj["status"]
    assert len(await world.records("a")) == 3
    assert world.verbs == ["upgrade", "upgrade", "rollback"]


async def test_t13_failed_rollback_and_change_taken_back(world):
    """T13: a failed revision on top of the deployed one needs no new one when the cluster has what is deployed."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        with world.failing("rollback", "Error: the rollback says no"):
            await world.change("Web", "a", BROKEN)
            failed = await world.condition("Web", "a", "ReleaseFailed", "True", "UpgradeError")

            async def both():
                found = conditions(await world.look("Web", "a"))["ReleaseFailed"]["message"]
                return "ObjectRefused" in found and "the rollback failed: Failed: the rollback says no" in found

            await eventually(both)
            assert failed["message"].startswith("ObjectRefused: ")
        await world.change("Web", "a", {"port": None})
        obj = await world.ready("Web", "a")
        assert conditions(obj)["ReleaseFailed"]["status"] == "False"
        assert obj["status"]["deployedRelease"]["revision"] == 1
    assert [r["metadata"]["labels"]["status"] for r in await world.records("a")] == ["deployed", "failed"]
    assert world.verbs == ["upgrade", "upgrade", "rollback"]


async def test_t08_failed_install_leaves_nothing_and_is_retried(world):
    """T08: what a failed install made is taken away; reset-at tries again at once; the finalizer stays."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", BROKEN)
        await world.condition("Web", "a", "ReleaseFailed", "True", "InstallError")

        async def removed():
            return await world.records("a") == [] and await world.gone("v1", "ConfigMap", "a")

        await eventually(removed)
        obj = await world.look("Web", "a")
        assert obj["metadata"]["finalizers"] == [names.FINALIZER]
        assert conditions(obj)["Deployed"]["reason"] == "InstallError"
        runs = world.verbs
        assert runs == ["upgrade", "uninstall"]
        await world.annotate("Web", "a", reset_at="once")

        async def tried():
            return (await world.look("Web", "a"))["status"]["lastAttempt"]["failures"] == 1 and len(world.verbs) == 4

        await eventually(tried)
        assert (await world.look("Web", "a"))["status"]["lastHandledResetAt"] == "once"
        await world.change("Web", "a", {"port": 80})
        await world.ready("Web", "a")


async def test_trouble_that_passes_is_retried_within_seconds(world):
    """An API server that helm can't reach costs no revision and no ten minutes."""
    async with world.engine(world.settings(world.row("Web"))):
        with world.failing("upgrade", "Error: Kubernetes cluster unreachable: connection refused"):
            await world.custom("Web", "a")
            failed = await world.condition("Web", "a", "ReleaseFailed", "True", "InstallError")
            assert failed["message"].startswith("Unreachable: ")
            assert not (await world.look("Web", "a"))["status"]["lastAttempt"]["lasting"]
        await world.ready("Web", "a")


async def test_t25_release_beyond_a_secret(world):
    """T25: said without running helm, and without a loop."""
    chart = world.folder / "large"
    shutil.copytree(CHARTS / "web", chart)
    (chart / "data").write_bytes(os.urandom(500_000))
    async with world.engine(world.settings(world.row("Web", chart=str(chart)))):
        await world.custom("Web", "a", {"text": base64.b64encode(os.urandom(400_000)).decode()})
        failed = await world.condition("Web", "a", "ReleaseFailed", "True", "InstallError")
        assert failed["message"].startswith("ReleaseTooLarge: the release would take at least")
        await asyncio.sleep(1.5)
        assert world.calls == []
        await world.change("Web", "a", {"text": "short"})
        await world.ready("Web", "a")


async def test_t25_release_that_helm_finds_too_large(world):
    """T25: what only the rendered manifest makes too large is refused by the API server; as clear, and no loop."""
    async with world.engine(world.settings(world.row("Web"))):
        with world.failing(
            "upgrade",
            'Error: create: failed to create: Secret "x" is invalid: data: Too long: may not be more than 1048576',
        ):
            await world.custom("Web", "a")
            failed = await world.condition("Web", "a", "ReleaseFailed", "True", "InstallError")
            assert failed["message"].startswith("ReleaseTooLarge: ")
            await asyncio.sleep(2)
            assert world.verbs == ["upgrade"]


async def test_unknown_field_is_refused_by_helm_4_without_its_own_validation(world):
    """The API server is strict with what helm applies; nothing is dropped in silence."""
    chart = world.folder / "odd"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text('apiVersion: v2\nname: odd\nversion: "1"\n')
    (chart / "templates" / "a.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: odd}\nspec: {ports: [{port: 80}], bogus: 1}\n"
    )
    async with world.engine(world.settings(world.row("Web", chart=str(chart)))):
        await world.custom("Web", "a")
        failed = await world.condition("Web", "a", "ReleaseFailed", "True", "InstallError")
        assert failed["message"].startswith("ObjectRefused: ")
        assert "bogus" in failed["message"]


async def test_revisions_are_described_as_asked(world):
    """Descriptions go into Helm's record."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {}, annotations={f"{names.GROUP}/install-description": "for the fair"})
        await world.ready("Web", "a")
    [record] = await world.records("a")
    assert decode_payload(record)["info"]["description"] == "for the fair"
