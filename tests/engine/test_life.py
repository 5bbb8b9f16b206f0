"""The life of a release: T01 to T07, T13, T18, T21, T35, T38 and T46."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.apiserver.releases_lab import conditions, eventually
from tests.engine.scenes import SOON, failing, is_true, needs

ROWS = {"Web": {}, "Gateway": {}, "Nginx": {}, "ClusterTrafficPolicy": {}}


@pytest.mark.long  # test_releases_life.py
async def test_t01_release_is_installed(scene):
    """A new resource has a release of revision 1, its objects, a finalizer, conditions and the release's name."""
    await scene.custom("Web", "a", {"text": "one", "access": True})
    obj = await scene.deployed("Web", "a", revision=1)
    assert [r["metadata"]["name"] for r in await scene.records("a")] == ["sh.helm.release.v1.a.v1"]
    assert await scene.text("a") == "one"
    for api_version, kind in (("v1", "Service"), ("v1", "Secret"), ("v1", "ServiceAccount"), ("apps/v1", "Deployment")):
        await scene.get(api_version, kind, "a")
    assert scene.profile.finalizer in obj["metadata"]["finalizers"]
    assert is_true(obj, "Initialized")
    assert conditions(obj)["Deployed"]["reason"] == "InstallSuccessful"
    assert obj["status"]["deployedRelease"]["name"] == "a"


@pytest.mark.long  # test_releases_life.py
async def test_t01_ready_can_be_waited_for(scene):
    """`kubectl wait --for=condition=Ready` returns once this generation is deployed."""
    await scene.install("Web", "a")
    await scene.change("Web", "a", {"text": "two"})
    obj = await scene.ready("Web", "a")
    assert obj["status"]["observedGeneration"] == obj["metadata"]["generation"]
    assert await scene.text("a") == "two"


@pytest.mark.long  # test_releases_life.py, test_releases_life_deletion.py
async def test_t01_finalizer_comes_before_helm(scene):
    """A resource deleted during its install leaves nothing behind, not even cluster-scoped objects."""
    await scene.custom("Web", "a", {"cluster": True, "count": 60})

    async def begun():
        return await scene.records("a")

    await eventually(begun)
    obj = await scene.look("Web", "a")
    assert scene.profile.finalizer in obj["metadata"].get("finalizers", [])
    await scene.remove("Web", "a")
    await eventually(lambda: scene.gone("rbac.authorization.k8s.io/v1", "ClusterRole", f"{scene.namespace}-a", None))
    assert await scene.records("a") == []


@pytest.mark.long  # test_releases_drift_terms.py
async def test_t02_scaled_workload_is_scaled_back(scene):
    """A workload that somebody scaled is scaled back within seconds, while the period is ten minutes."""
    await scene.install("Web", "a", {"replicas": 1})
    deployments = await scene.api.resource("apps/v1", "Deployment")
    await scene.api.merge_patch(
        deployments, "a", {"spec": {"replicas": 2}}, scene.namespace, subresource="scale", field_manager="kubectl"
    )

    async def back():
        return (await scene.get("apps/v1", "Deployment", "a"))["spec"]["replicas"] == 1

    await eventually(back, within=SOON)
    assert await scene.revisions("a") == [(1, "deployed")]


@pytest.mark.long  # test_releases_life.py
async def test_t03_change_is_one_upgrade(scene):
    """A changed value is one more revision and no further one."""
    await scene.install("Web", "a", {"replicas": 1})
    await scene.change("Web", "a", {"replicas": 2})
    await scene.deployed("Web", "a", revision=2)

    async def told():
        return conditions(await scene.look("Web", "a"))["Deployed"]["reason"] == "UpgradeSuccessful"

    await eventually(told)
    assert (await scene.get("apps/v1", "Deployment", "a"))["spec"]["replicas"] == 2
    revisions = await scene.steady(lambda: scene.revisions("a"), seconds=2)
    assert revisions[-1] == (2, "deployed")


@pytest.mark.long  # test_releases_life_annotations.py
async def test_t03_history_is_kept(scene):
    """The revision before stays, so that somebody can go back to it."""
    await scene.install("Web", "a")
    await scene.change("Web", "a", {"text": "two"})
    await scene.deployed("Web", "a", revision=2)
    assert await scene.revisions("a") == [(1, "superseded"), (2, "deployed")]


@pytest.mark.long  # test_app.py
async def test_t04_metrics_follow_the_resources(scene):
    """The series of a resource comes with it and goes with it."""
    await scene.install("Web", "a")
    wanted = {"name": "a", "namespace": scene.namespace, "kind": "Web", "group": scene.group, "version": "v1"}

    async def series():
        return scene.operator.metric("resource_created_at_seconds", **wanted)

    [(_, created)] = await eventually(series)
    assert abs(created - time.time()) < 600
    await scene.remove("Web", "a")
    await eventually(lambda: _not(series))


async def _not(ask):
    return not await ask()


METRICS = (
    "helm_operator_build_info",
    "controller_runtime_reconcile_total",
    "controller_runtime_reconcile_errors_total",
    "controller_runtime_reconcile_time_seconds_count",
    "controller_runtime_max_concurrent_reconciles",
    "controller_runtime_active_workers",
    "workqueue_depth",
    "workqueue_adds_total",
    "workqueue_retries_total",
    "workqueue_queue_duration_seconds_count",
    "workqueue_work_duration_seconds_count",
    "workqueue_unfinished_work_seconds",
    "workqueue_longest_running_processor_seconds",
    "rest_client_requests_total",
)


@pytest.mark.long  # test_app.py
async def test_t04_metrics_have_their_names(scene):
    """Dashboards of Helm operators find what they ask for."""
    await scene.install("Web", "a")
    assert [name for name in METRICS if not scene.operator.metric(name)] == []


@pytest.mark.long  # test_releases_life_deletion.py
async def test_t05_waits_for_every_object_when_asked(scene):
    """With uninstall-wait, the resource stays while an object of the release does, and says so."""
    annotations = {
        scene.profile.annotation("uninstall-wait"): "true",
        scene.profile.annotation("reconcile-period"): "2s",
    }
    await scene.install("Web", "a", {"statefulSet": True}, annotations=annotations)
    await scene.patch("apps/v1", "StatefulSet", "a", {"metadata": {"finalizers": ["suite.example.com/hold"]}})
    await scene.delete(scene.api_version, "Web", "a")

    async def said():
        obj = await scene.look("Web", "a")
        words = [c.get("message", "") for c in obj["status"]["conditions"]]
        return any("waiting" in word.lower() for word in words)

    await eventually(said)
    await eventually(lambda: scene.gone("v1", "Service", "a"))
    await asyncio.sleep(2)
    assert not await scene.gone(scene.api_version, "Web", "a")
    await scene.patch("apps/v1", "StatefulSet", "a", {"metadata": {"finalizers": None}})
    await eventually(lambda: scene.gone(scene.api_version, "Web", "a"))


@pytest.mark.long  # test_releases_life_deletion.py
async def test_t06_made_again_and_deleted(scene):
    """A resource of the same name starts at revision 1; deleting it leaves no record."""
    await scene.install("Web", "a", annotations={scene.profile.annotation("uninstall-wait"): "true"})
    await scene.remove("Web", "a")
    await scene.install("Web", "a", {"text": "again"})
    assert await scene.revisions("a") == [(1, "deployed")]
    assert await scene.text("a") == "again"
    await scene.remove("Web", "a")
    assert await scene.records("a") == []
    assert await scene.gone("v1", "ConfigMap", "a")


@pytest.mark.long  # test_releases_life_deletion.py
async def test_t07_deleted_without_release(scene):
    """A resource with a finalizer whose release is gone can go."""
    scene.operator.stop()
    await scene.custom("Web", "a", finalizers=[scene.profile.finalizer])
    await scene.delete(scene.api_version, "Web", "a")
    scene.operator.start()
    await eventually(lambda: scene.gone(scene.api_version, "Web", "a"))
    assert await scene.records("a") == []


@pytest.mark.long  # test_releases_life_deletion.py
@pytest.mark.parametrize(
    "finalizer", ["helm.sdk.operatorframework.io/uninstall-release", "uninstall-helm-release"], ids=["new", "legacy"]
)
async def test_t07_finalizers_of_other_operators_count(scene, finalizer):
    """A resource that comes from another Helm operator is uninstalled and let go."""
    await scene.install("Web", "a", finalizers=[finalizer])
    await scene.remove("Web", "a")
    assert await scene.records("a") == []
    assert await scene.gone("v1", "ConfigMap", "a")


async def test_t13_failure_clears_when_the_resource_is_reverted(scene):
    """Values that can't be rendered, then the old ones: no condition is left, and no revision was made."""
    await scene.install("Web", "a")
    await scene.change("Web", "a", {"text": 3})
    await scene.fails("Web", "a")
    await scene.change("Web", "a", {"text": None})
    await scene.deployed("Web", "a", revision=1)


async def test_t18_paused_resource_is_left_alone(scene):
    """A paused resource is neither upgraded nor repaired; all of it happens afterwards."""
    needs(scene.profile.paused, "it has no pause annotation")
    await scene.install("Web", "a")
    await scene.annotate("Web", "a", **{scene.profile.paused: "true"})
    await eventually(lambda: _is(scene, "Web", "a", "Paused"))
    await scene.change("Web", "a", {"text": "two"})
    await scene.delete("v1", "Service", "a")
    await asyncio.sleep(2)
    assert await scene.text("a") == "hello"
    assert await scene.gone("v1", "Service", "a")
    await scene.annotate("Web", "a", **{scene.profile.paused: None})
    await scene.deployed("Web", "a", revision=2)
    assert await scene.text("a") == "two"
    await eventually(lambda: scene.get("v1", "Service", "a"))


@pytest.mark.long  # test_releases_life_annotations.py
async def test_t18_deleted_while_paused(scene):
    """The uninstall of a resource deleted while paused waits for the end of the pause."""
    needs(scene.profile.paused, "it has no pause annotation")
    await scene.install("Web", "a")
    await scene.annotate("Web", "a", **{scene.profile.paused: "true"})
    await scene.delete(scene.api_version, "Web", "a")
    await asyncio.sleep(2)
    assert not await scene.gone(scene.api_version, "Web", "a")
    assert await scene.text("a") == "hello"
    await scene.annotate("Web", "a", **{scene.profile.paused: None})
    await eventually(lambda: scene.gone(scene.api_version, "Web", "a"))
    assert await scene.gone("v1", "ConfigMap", "a")


async def _is(scene, kind, name, type_):
    return is_true(await scene.look(kind, name), type_)


@pytest.mark.long  # test_releases_life_deletion.py
@pytest.mark.parametrize("policy", ["keep", " Keep "], ids=["plain", "spaced"])
async def test_t21_kept_object_outlives_its_release(scene, policy):
    """An object with helm.sh/resource-policy keep outlives its release, also in other spellings."""
    await scene.install("Web", "a", {"keep": policy})
    await scene.remove("Web", "a")
    await asyncio.sleep(1)  # what owner references would take along goes now
    assert await scene.text("a-kept") == "kept"
    assert await scene.gone("v1", "ConfigMap", "a")


@pytest.mark.long  # test_releases_life_names.py
async def test_t35_long_name(scene):
    """A name that Helm would refuse gets a release all the same, and uninstalls as any other."""
    name = "n" * 62
    obj = await scene.install("Web", name)
    release = obj["status"]["deployedRelease"]["name"]
    assert len(release) <= 53
    assert await scene.text(release) == "hello"
    await scene.remove("Web", name)
    assert await scene.records(release) == []


async def test_t35_moved_object_leaves_no_copy(scene):
    """An object that a value moves to another namespace is made there and deleted here."""
    others = [f"{scene.namespace}-{letter}" for letter in "xy"]
    for other in others:
        await scene.create("v1", "Namespace", other, namespace=None)
    await scene.install("Web", "a", {"elsewhere": others[0]})
    await scene.change("Web", "a", {"elsewhere": others[1]})
    await scene.deployed("Web", "a", revision=2)
    assert await scene.text("a-elsewhere", others[1]) == "elsewhere"
    await eventually(lambda: scene.gone("v1", "ConfigMap", "a-elsewhere", others[0]))


@pytest.mark.long  # test_releases_life_names.py
async def test_t38_one_name_in_three_kinds(scene):
    """Resources of three kinds with one name have releases of their own, and each uninstalls alone."""
    kinds = ("Gateway", "Nginx", "ClusterTrafficPolicy")
    await asyncio.gather(*(scene.custom(kind, "a", {"text": kind}) for kind in kinds))
    found = {}
    for kind in kinds:
        found[kind] = (await scene.deployed(kind, "a"))["status"]["deployedRelease"]["name"]
    assert len(set(found.values())) == 3
    for kind, release in found.items():
        assert await scene.text(release) == kind
        assert await scene.revisions(release) == [(1, "deployed")]
    await scene.remove("Nginx", "a")
    assert await scene.text(found["Gateway"]) == "Gateway"
    assert not failing(await scene.look("Gateway", "a"))


@pytest.mark.long  # test_releases_life_deletion.py
async def test_t46_deleted_namespace_goes_whole(scene):
    """A deleted namespace ends, its resources with it, and cluster-scoped objects of their releases as well."""
    await scene.install("Web", "a", {"cluster": True})
    await scene.install("Web", "b")
    await scene.delete("v1", "Namespace", scene.namespace, None)
    await eventually(lambda: scene.gone("v1", "Namespace", scene.namespace, None), within=180)
    await eventually(lambda: scene.gone("rbac.authorization.k8s.io/v1", "ClusterRole", f"{scene.namespace}-a", None))
    assert await scene.gone("networking.k8s.io/v1", "IngressClass", f"{scene.namespace}-a", None)
