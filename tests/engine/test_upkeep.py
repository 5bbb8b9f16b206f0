"""What an operator does in the long run, each test with one of its own: T14, T24, T25, T29, T30, T34 and T47."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess

import pytest

from tests.apiserver.releases_lab import eventually, settled
from tests.engine.scenes import CHARTS, is_true, limited_kubeconfig, needs

ROWS: dict[str, dict[str, object]] = {}
KINDS = ("Web", "Other")


@pytest.fixture(autouse=True, scope="module")
def kinds(stage):
    """The kinds of this module; each test runs its own operators."""
    stage.define(*KINDS)


async def test_t14_repair_without_the_right_to_patch(scene, stage, tmp_path):
    """Without the right to patch: Irreconcilable/ReconcileError says what is refused, other objects are repaired."""
    every = ["*"]
    groups = ["apps", "rbac.authorization.k8s.io", "apiextensions.k8s.io", "events.k8s.io", "coordination.k8s.io"]
    core = ["secrets", "services", "events", "namespaces", "pods", "serviceaccounts"]
    rules = [
        {"apiGroups": [*groups, stage.group], "resources": every, "verbs": every},
        {"apiGroups": [""], "resources": core, "verbs": every},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": every},
    ]
    kubeconfig = limited_kubeconfig(stage.cluster, tmp_path, rules)
    with scene.alone(kubeconfig=kubeconfig):
        await scene.install("Web", "a")
        rules[-1]["verbs"] = ["get", "list", "watch", "create", "delete"]
        await scene.patch("rbac.authorization.k8s.io/v1", "ClusterRole", kubeconfig.stem, {"rules": rules}, None)
        await eventually(lambda: may_not_patch(stage, kubeconfig, scene.namespace))
        await scene.patch("v1", "ConfigMap", "a", {"data": {"text": "mine"}})
        found = await scene.fails("Web", "a", "Irreconcilable")
        assert found["reason"] == "ReconcileError"
        assert "configmaps" in found["message"]
        await scene.delete("v1", "Service", "a")
        await eventually(lambda: scene.get("v1", "Service", "a"), within=180)


async def may_not_patch(stage, kubeconfig, namespace):
    """Tell whether the API server's authorizer knows the smaller rights."""
    who = f"--as=system:serviceaccount:default:{kubeconfig.stem}"
    words = ("auth", "can-i", "patch", "configmaps", "-n", namespace, who)
    try:
        return stage.cluster.kubectl(*words).strip() == "no"
    except subprocess.CalledProcessError as error:  # its way to say no
        return error.stdout.strip() == "no"


def failed_passes(operator):
    return sum(value for _, value in operator.metric("controller_runtime_reconcile_errors_total"))


async def test_t24_many_edits_at_once(scene):
    """Edits by others while the operator works: none is lost, no storm of errors, and the last one is deployed."""
    with scene.alone() as operator:
        await scene.custom("Web", "a")
        errors = failed_passes(operator)
        for number in range(30):
            patch = {"metadata": {"labels": {f"label-{number}": "x"}}, "spec": {"text": f"text {number}"}}
            await scene.patch(scene.api_version, "Web", "a", patch)
            await asyncio.sleep(0.05)
        await scene.says("a", "text 29")
        obj = await scene.deployed("Web", "a")
        assert {f"label-{number}" for number in range(30)} <= set(obj["metadata"]["labels"])
        assert failed_passes(operator) - errors <= 3


@pytest.mark.long  # tests/apiserver/test_releases_faults_upgrades.py has it in short
async def test_t25_release_beyond_a_secret(scene):
    """A release that no Secret can hold fails with a clear reason, and isn't tried in a loop."""
    with scene.alone() as operator:
        blob = base64.b64encode(os.urandom(500_000)).decode()
        await scene.custom("Web", "a", {"blob": blob})
        found = await scene.fails("Web", "a")
        assert found["message"]

        async def tries():
            return failed_passes(operator)

        before = await tries()
        await asyncio.sleep(8)
        assert await tries() - before <= 2
        obj = await scene.look("Web", "a")
        assert len(str(obj["status"])) < 8192
        await scene.change("Web", "a", {"blob": None})
        await scene.deployed("Web", "a", within=180)


@pytest.mark.long  # test_releases_live_rights.py
async def test_t24_forbidden_list_is_told(scene, stage, tmp_path):
    """An operator that may not list its kind says so: it isn't ready."""
    rules = [{"apiGroups": [""], "resources": ["secrets", "events", "configmaps"], "verbs": ["*"]}]
    kubeconfig = limited_kubeconfig(stage.cluster, tmp_path, rules)
    operator = stage.operate(stage.row("Web"), kubeconfig=kubeconfig)
    process = operator.spawn()

    async def told():
        return process.poll() is not None or operator.get("/healthz")[0] == 200

    await eventually(told)
    await asyncio.sleep(2)
    assert process.poll() is not None or operator.get("/readyz")[0] == 503


@pytest.fixture
def chart(tmp_path):
    """A copy of the chart that a test may edit."""
    return shutil.copytree(CHARTS / "app", tmp_path / "app")


async def one_upgrade(scene):
    """Wait for the second revision, and see that there is no third."""
    await scene.poke("Web", "a")
    await scene.deployed("Web", "a", revision=2)
    await scene.poke("Web", "a")
    await asyncio.sleep(2)
    assert (await scene.revisions("a"))[-1] == (2, "deployed")


@pytest.mark.long  # test_releases_live.py
async def test_t29_edited_template(scene, chart):
    """A changed chart of the same version is exactly one upgrade, without a restart."""
    with scene.alone(scene.stage.row("Web", chart)):
        await scene.install("Web", "a")
        file = chart / "templates" / "base.yaml"
        file.write_text(file.read_text().replace("  flag:", "  edited: yes-it-is\n  flag:"))
        await one_upgrade(scene)
        assert (await scene.get("v1", "ConfigMap", "a"))["data"]["edited"] == "yes-it-is"


async def test_t29_edited_values(scene, chart):
    """A changed default of the chart is exactly one upgrade."""
    with scene.alone(scene.stage.row("Web", chart)):
        await scene.install("Web", "a")
        file = chart / "values.yaml"
        file.write_text(file.read_text().replace("text: hello", "text: edited"))
        await one_upgrade(scene)
        assert await scene.text("a") == "edited"


async def test_t29_edited_hook(scene, chart):
    """A changed hook, which is in no manifest, is an upgrade all the same."""
    with scene.alone(scene.stage.row("Web", chart)):
        await scene.install("Web", "a", {"hook": "post-delete"})
        file = chart / "templates" / "workloads.yaml"
        file.write_text(file.read_text().replace("restartPolicy: Never", "restartPolicy: OnFailure"))
        await one_upgrade(scene)


async def test_t29_random_values_of_the_chart(scene, chart):
    """A template that renders anew each time is no reason to upgrade."""
    file = chart / "templates" / "base.yaml"
    file.write_text(file.read_text().replace("  flag:", "  random: {{ randAlphaNum 8 }}\n  flag:"))
    with scene.alone(scene.stage.row("Web", chart, reconcilePeriod="1s")):
        await scene.install("Web", "a")
        await asyncio.sleep(4)
        assert await scene.revisions("a") == [(1, "deployed")]


@pytest.mark.long  # test_releases_life.py
async def test_t30_at_rest_nothing_is_written(scene):
    """At rest, over ten periods: no write, and no object of five releases has a new version."""
    names = [f"a{n}" for n in range(5)]
    with scene.alone(period="500ms") as operator:
        for name in names:
            await scene.custom("Web", name)
        for name in names:
            await scene.deployed("Web", name)

        async def work():
            return operator.writes(), len(scene.stage.shim.calls())

        writes, runs = await settled(work)
        before = await versions(scene, names)
        await asyncio.sleep(5)
        assert await versions(scene, names) == before
        assert operator.writes() == writes
        assert len(scene.stage.shim.calls()) == runs


async def versions(scene, names):
    """Return the resourceVersion of everything that an operator could have written."""
    objects = [await scene.look("Web", name) for name in names]
    for api_version, kind in (("v1", "ConfigMap"), ("v1", "Service"), ("v1", "Secret"), ("apps/v1", "Deployment")):
        objects += [await scene.get(api_version, kind, name) for name in names]
    objects += [r for name in names for r in await scene.records(name)]
    return {(o["kind"], o["metadata"]["name"]): o["metadata"]["resourceVersion"] for o in objects}


@pytest.fixture
def crd_chart(stage, scene, tmp_path):
    """A chart whose subchart has a CRD of a group that this test alone uses; returns chart and CRD."""
    folder = shutil.copytree(CHARTS / "app-crds", tmp_path / "app-crds")
    file = folder / "charts" / "kinds" / "crds" / "gadgets.yaml"
    group = f"{scene.namespace}.example.com"
    file.write_text(file.read_text().replace("group.example.com", group))
    return folder, file, f"gadgets.{group}"


CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")


@pytest.mark.long  # test_releases_live_crds.py
async def test_t34_crds_of_a_subchart(scene, crd_chart):
    """CRDs of a subchart come with it, and not without it."""
    folder, _, name = crd_chart
    with scene.alone(scene.stage.row("Web", folder)):
        await scene.install("Web", "without", {"kinds": {"enabled": False}})
        assert await scene.gone(*CRD, name, None)
        await scene.install("Web", "with", {"kinds": {"enabled": True}})
        await eventually(lambda: scene.get(*CRD, name, None))
        await scene.remove("Web", "with")
        assert not await scene.gone(*CRD, name, None)


@pytest.mark.long  # test_releases_live_crds.py
async def test_t34_crds_are_updated_when_asked(scene, crd_chart):
    """With crdPolicy CreateReplace, a changed CRD of the chart reaches the cluster."""
    needs(not scene.profile.peer, "watches.yaml has no CRD policy")
    folder, file, name = crd_chart
    with scene.alone(scene.stage.row("Web", folder, crdPolicy="CreateReplace")):
        await scene.install("Web", "a")
        file.write_text(file.read_text().replace("description: first", "description: second"))

        async def updated():
            found = await scene.get(*CRD, name, None)
            return found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] == "second"

        await eventually(updated)


@pytest.mark.long  # test_releases_live_crds.py
async def test_t34_crds_are_left_out_when_asked(scene, crd_chart):
    """With crdPolicy Skip, none is made."""
    needs(not scene.profile.peer, "watches.yaml has no CRD policy")
    folder, _, name = crd_chart
    with scene.alone(scene.stage.row("Web", folder, crdPolicy="Skip")):
        await scene.install("Web", "a")
        assert await scene.gone(*CRD, name, None)


@pytest.mark.long  # test_releases_faults_hooks.py
async def test_t47_hook_that_never_ends(scene):
    """A hook that never ends holds its own release only, and ends in a clear failure when its time is over."""
    rows = (scene.stage.row("Web", timeout="5s"), scene.stage.row("Other", timeout="5s"))
    with scene.alone(*rows, workers=2):
        await scene.custom("Web", "stuck", {"hook": "post-install"})
        await eventually(lambda: scene.get("batch/v1", "Job", "stuck-hook"))
        await scene.install("Web", "neighbour")
        await scene.install("Other", "other")
        found = await scene.fails("Web", "stuck", "ReleaseFailed")
        assert found["reason"] == "InstallError"
        assert not is_true(await scene.look("Web", "stuck"), "Deployed")
        await scene.change("Web", "stuck", {"hook": ""})
        await scene.deployed("Web", "stuck", within=180)
