"""What somebody did to the objects of a release: T15, T16, T20, T31, T32 and T39 to T41."""

from __future__ import annotations

import asyncio

import pytest

from gateway_operator.errors import NotFound
from tests.apiserver.releases_lab import conditions, eventually, settled
from tests.engine.scenes import SOON, needs

# the second row: a field that somebody else may decide
RULE = {"paths": ["/data/text"], "target": {"kind": "ConfigMap"}}
ROWS = {"Web": {}, "Ruled": {"ignoreRules": [RULE]}}
RBAC = "rbac.authorization.k8s.io/v1"
NAMESPACED = [
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    (RBAC, "Role"),
    (RBAC, "RoleBinding"),
]


async def installed(scene, name, spec=None, *, kind="Web"):
    """Install, and wait until no pass runs any more: what follows an install anyway must not count as a repair."""
    await scene.install(kind, name, spec)
    passes = scene.operator.total
    await settled(lambda: asyncio.sleep(0, passes("controller_runtime_reconcile_total")), seconds=1)


async def uid(scene, api_version, kind, name, namespace=""):
    return (await scene.get(api_version, kind, name, namespace))["metadata"]["uid"]


async def comes_back(scene, api_version, kind, name, namespace=""):
    """Delete an object and wait until there is another one of its name."""
    old = await uid(scene, api_version, kind, name, namespace)
    await scene.delete(api_version, kind, name, namespace)

    async def back():
        return await uid(scene, api_version, kind, name, namespace) != old

    await eventually(back, within=SOON)


@pytest.mark.long  # test_releases_drift_kinds.py
async def test_t15_every_deleted_object_comes_back(scene):
    """Every deleted object comes back, all kinds of the chart; the revision stays."""
    await installed(scene, "a", {"access": True})
    for api_version, kind in NAMESPACED:
        await comes_back(scene, api_version, kind, "a")
    assert await scene.revisions("a") == [(1, "deployed")]


CHANGES = [
    ("v1", "ConfigMap", {"data": {"text": "mine"}}, lambda o: o["data"]["text"] == "hello"),
    ("v1", "Secret", {"data": {"word": "bWluZQ=="}}, lambda o: o["data"]["word"] == "aGVsbG8="),
    ("v1", "Service", {"spec": {"selector": {"app": "mine"}}}, lambda o: o["spec"]["selector"] == {"app": "a"}),
    ("apps/v1", "Deployment", {"spec": {"replicas": 2}}, lambda o: o["spec"]["replicas"] == 0),
    (RBAC, "Role", {"rules": []}, lambda o: len(o.get("rules") or []) == 1),
    (RBAC, "RoleBinding", {"subjects": []}, lambda o: len(o.get("subjects") or []) == 1),
]


@pytest.mark.long  # test_releases_drift_kinds.py
async def test_t15_every_changed_object_is_put_back(scene):
    """Every changed object is put back, all kinds of the chart; the revision stays."""
    await installed(scene, "a", {"access": True})
    for api_version, kind, patch, right in CHANGES:
        await scene.patch(api_version, kind, "a", patch)

        async def back(api_version=api_version, kind=kind, right=right):
            obj = await scene.get(api_version, kind, "a")
            assert right(obj), {k: v for k, v in obj.items() if k != "metadata"}
            return True

        await eventually(back, within=SOON)
    assert await scene.revisions("a") == [(1, "deployed")]


@pytest.mark.long  # test_releases_drift_kinds.py
async def test_t15_secret_given_as_text(scene):
    """A changed Secret is put back whose template has stringData, which the API server never shows."""
    await installed(scene, "a", {"secretText": "hello"})
    await scene.patch("v1", "Secret", "a-text", {"data": {"word": "bWluZQ=="}})

    async def back():
        return (await scene.get("v1", "Secret", "a-text"))["data"]["word"] == "aGVsbG8="

    await eventually(back, within=SOON)


async def test_t16_missing_and_wrong_fields_of_a_custom_resource(scene):
    """In a custom resource, missing fields are put back, wrong ones replaced; a null in a template asks nothing."""
    await installed(scene, "a", {"widget": scene.api_version})
    await scene.patch(scene.api_version, "Widget", "a", {"spec": {"size": None, "color": "blue", "unset": "set"}})

    async def back():
        spec = (await scene.look("Widget", "a"))["spec"]
        return (spec.get("size"), spec.get("color")) == (1, "red")

    await eventually(back, within=SOON)


@pytest.mark.long  # test_releases_drift_kinds.py
async def test_t16_missing_and_wrong_fields_of_a_core_kind(scene):
    """In a Deployment, deep inside a list, missing fields are put back and wrong ones replaced."""
    await installed(scene, "a")
    container = {"name": "main", "image": "example.com/other:1", "args": None, "env": None}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    await scene.patch("apps/v1", "Deployment", "a", patch)

    async def back():
        [found] = (await scene.get("apps/v1", "Deployment", "a"))["spec"]["template"]["spec"]["containers"]
        assert (found["image"], found.get("args")) == ("example.com/none:1", ["--serve"])
        assert found.get("env") == [{"name": "TEXT", "value": "hello"}]
        return True

    await eventually(back, within=SOON)


async def test_t16_annotations_of_others_are_kept(scene):
    """Tools write annotations; a repair of the same object leaves theirs."""
    await installed(scene, "a")
    annotations = {"metadata": {"annotations": {"team.example.com/note": "mine"}}}
    await scene.patch("apps/v1", "Deployment", "a", annotations)
    await scene.patch("apps/v1", "Deployment", "a", {"spec": {"replicas": 2}})

    async def back():
        return (await scene.get("apps/v1", "Deployment", "a"))["spec"]["replicas"] == 0

    await eventually(back, within=SOON)
    kept = (await scene.get("apps/v1", "Deployment", "a"))["metadata"]["annotations"]
    assert kept.get("team.example.com/note") == "mine"


@pytest.mark.long  # test_releases_drift_kinds.py
async def test_t20_dependent_in_the_same_namespace(scene):
    """A deleted object in the namespace of the resource comes back."""
    await installed(scene, "a")
    await comes_back(scene, "v1", "Service", "a")


@pytest.mark.long  # test_releases_drift_kinds.py
async def test_t20_dependent_without_namespace_in_its_template(scene):
    """A deleted object whose template leaves the namespace to Helm comes back."""
    await installed(scene, "a", {"plain": "yes"})
    await comes_back(scene, "v1", "ConfigMap", "a-plain")


@pytest.mark.long  # test_releases_drift_kinds.py
async def test_t20_dependent_in_another_namespace(scene):
    """A deleted object in another namespace comes back."""
    other = f"{scene.namespace}-x"
    await scene.create("v1", "Namespace", other, namespace=None)
    await installed(scene, "a", {"elsewhere": other})
    await comes_back(scene, "v1", "ConfigMap", "a-elsewhere", other)


@pytest.mark.long  # test_releases_drift_kinds.py
async def test_t20_cluster_scoped_dependent(scene):
    """A deleted ClusterRole comes back."""
    await installed(scene, "a", {"cluster": True})
    await comes_back(scene, RBAC, "ClusterRole", f"{scene.namespace}-a", None)


@pytest.mark.long  # test_releases_drift_kinds.py
async def test_t20_kept_dependent(scene):
    """A deleted object that is to outlive its release comes back while there is one."""
    await installed(scene, "a", {"keep": "keep"})
    await comes_back(scene, "v1", "ConfigMap", "a-kept")


@pytest.mark.long  # test_releases_drift_kinds.py
async def test_t20_dependent_in_a_list(scene):
    """A deleted object from a template of `kind: List` comes back."""
    await installed(scene, "a", {"list": True})
    await comes_back(scene, "v1", "ConfigMap", "a-second")


@pytest.mark.long  # test_releases_drift_terms.py
async def test_t31_edit_with_kubectl_is_drift(scene):
    """An edit with kubectl of a field that the chart sets is put back."""
    await installed(scene, "a")
    scene.stage.cluster.kubectl(
        "patch", "configmap", "a", "-n", scene.namespace, "--type=merge", "-p", '{"data": {"text": "mine"}}'
    )
    await scene.says("a", "hello", within=SOON)


@pytest.mark.long  # test_releases_drift_terms.py
async def test_t31_edit_by_a_controller_is_none(scene):
    """What Kubernetes' own controllers add to an object stays."""
    await installed(scene, "a", {"access": True})
    accounts = await scene.api.resource("v1", "ServiceAccount")
    patch = {"secrets": [{"name": "token"}]}
    manager = "kube-controller-manager"
    await scene.api.merge_patch(accounts, "a", patch, scene.namespace, field_manager=manager)
    await scene.delete("v1", "ConfigMap", "a")
    await scene.says("a", "hello", within=SOON)  # a repair ran meanwhile
    await asyncio.sleep(1)
    assert (await scene.get("v1", "ServiceAccount", "a")).get("secrets") == patch["secrets"]


@pytest.mark.long  # test_releases_drift_terms.py
async def test_t31_ignore_rule(scene):
    """A field that a rule names is left; others of the same object are not."""
    needs(not scene.profile.peer, "watches.yaml has no ignore rules")
    await installed(scene, "a", kind="Ruled")
    await scene.patch("v1", "ConfigMap", "a", {"data": {"text": "mine", "flag": "mine"}})

    async def back():
        return (await scene.get("v1", "ConfigMap", "a"))["data"]["flag"] == "bool"

    await eventually(back, within=SOON)
    assert await scene.text("a") == "mine"


@pytest.mark.long  # test_releases_drift_terms.py
async def test_t31_object_can_opt_out(scene):
    """An annotation on a dependent object takes it out of the repair."""
    needs(scene.profile.drift_policy, "it has no annotation for that")
    await installed(scene, "a")
    patch = {"metadata": {"annotations": {scene.profile.drift_policy: "ignore"}}, "data": {"text": "mine"}}
    await scene.patch("v1", "ConfigMap", "a", patch)
    await scene.patch("v1", "Service", "a", {"spec": {"selector": {"app": "mine"}}})

    async def back():
        return (await scene.get("v1", "Service", "a"))["spec"]["selector"] == {"app": "a"}

    await eventually(back, within=SOON)
    assert await scene.text("a") == "mine"


@pytest.mark.long  # test_releases_drift_faults.py
async def test_t32_denied_repair_does_not_block_the_rest(scene):
    """One object can't be put back: the others are, and the condition names the one."""
    await installed(scene, "a", {"access": True})
    async with scene.denied("configmaps", "UPDATE", name="a"), scene.denied("configmaps", "CREATE", name="a"):
        await scene.delete("v1", "ConfigMap", "a")
        for api_version, kind in (("v1", "Service"), (RBAC, "RoleBinding")):
            await comes_back(scene, api_version, kind, "a")
        found = await scene.fails("Web", "a", "Irreconcilable")
        assert found["reason"] == "ReconcileError"
        assert "ConfigMap" in found["message"] or "configmaps" in found["message"]
    await scene.says("a", "hello", within=SOON)
    await eventually(lambda: recovered(scene, "a"))


async def recovered(scene, name):
    return conditions(await scene.look("Web", name)).get("Irreconcilable", {}).get("status") != "True"


async def test_t32_namespace_comes_before_what_is_in_it(scene):
    """A release that makes a namespace gets it back, and then the objects inside."""
    own = f"{scene.namespace}-own"
    await installed(scene, "a", {"ownNamespace": own})
    old = await uid(scene, "v1", "Namespace", own, None)
    await scene.delete("v1", "Namespace", own, None)

    async def back():
        assert await uid(scene, "v1", "Namespace", own, None) != old
        return await scene.text("a", own) == "inside"

    await eventually(back, within=SOON)


ADDED = [
    ("v1", "ConfigMap", {"data": {"added": "mine"}}, lambda o: "added" not in o["data"]),
    ("v1", "Secret", {"data": {"added": "bWluZQ=="}}, lambda o: "added" not in o["data"]),
    ("v1", "Service", {"metadata": {"labels": {"app.kubernetes.io/part-of": "mine"}}}, None),
    ("v1", "Service", {"spec": {"selector": {"added": "mine"}}}, lambda o: o["spec"]["selector"] == {"app": "a"}),
    ("v1", "Service", {"spec": {"ports": [{"name": "http", "port": 80}, {"name": "more", "port": 81}]}}, None),
    ("apps/v1", "Deployment", {"spec": {"template": {"metadata": {"labels": {"added": "mine"}}}}}, None),
]
RIGHT = {
    2: lambda o: "app.kubernetes.io/part-of" not in (o["metadata"].get("labels") or {}),
    4: lambda o: len(o["spec"]["ports"]) == 1,
    5: lambda o: "added" not in o["spec"]["template"]["metadata"]["labels"],
}


@pytest.mark.long  # test_releases_drift_kinds.py
@pytest.mark.parametrize("number", range(len(ADDED)), ids=["key", "secret", "label", "selector", "port", "podlabel"])
async def test_t39_added_field_is_removed(scene, number):
    """What somebody added to an object of the release goes again."""
    api_version, kind, patch, right = ADDED[number]
    right = right or RIGHT[number]
    await installed(scene, "a")
    await scene.patch(api_version, kind, "a", patch)

    async def back():
        obj = await scene.get(api_version, kind, "a")
        assert right(obj), {k: v for k, v in obj.items() if k != "metadata"}
        return True

    await eventually(back, within=SOON)


@pytest.mark.long  # test_releases_drift_kinds.py
async def test_t39_added_argument_is_removed(scene):
    """An argument that somebody added to a container goes again."""
    await installed(scene, "a")
    ops = [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--mine"}]
    deployments = await scene.api.resource("apps/v1", "Deployment")
    await scene.api.json_patch(deployments, "a", ops, scene.namespace, field_manager="somebody")

    async def back():
        [found] = (await scene.get("apps/v1", "Deployment", "a"))["spec"]["template"]["spec"]["containers"]
        return found["args"] == ["--serve"]

    await eventually(back, within=SOON)


@pytest.mark.long  # test_releases_drift_kinds.py
@pytest.mark.parametrize(
    ("api_version", "kind", "patch", "field"),
    [
        (RBAC, "ClusterRole", {"rules": []}, "rules"),
        ("networking.k8s.io/v1", "IngressClass", {"metadata": {"labels": None}}, "labels"),
    ],
    ids=["ClusterRole", "IngressClass"],
)
async def test_t40_cluster_scoped_object_is_put_back(scene, api_version, kind, patch, field):
    """Changed and deleted cluster-scoped objects are put back as fast as others."""
    await installed(scene, "a", {"cluster": True})
    name = f"{scene.namespace}-a"
    await scene.patch(api_version, kind, name, patch, None)

    async def back():
        obj = await scene.get(api_version, kind, name, None)
        return obj.get(field) or obj["metadata"].get(field)

    await eventually(back, within=SOON)
    await comes_back(scene, api_version, kind, name, None)


@pytest.mark.long  # test_releases_drift_terms.py
async def test_t41_replicas_of_an_autoscaler_are_its_own(scene):
    """What the HorizontalPodAutoscaler decided stays; other fields of the Deployment are still put back."""
    await installed(scene, "a", {"hpa": True, "replicas": 1})
    deployments = await scene.api.resource("apps/v1", "Deployment")
    await scene.api.merge_patch(
        deployments,
        "a",
        {"spec": {"replicas": 3}},
        scene.namespace,
        subresource="scale",
        field_manager="kube-controller-manager",
    )
    container = {"name": "main", "image": "example.com/other:1"}
    await scene.patch("apps/v1", "Deployment", "a", {"spec": {"template": {"spec": {"containers": [container]}}}})

    async def back():
        spec = (await scene.get("apps/v1", "Deployment", "a"))["spec"]
        assert spec["template"]["spec"]["containers"][0]["image"] == "example.com/none:1"
        return spec["replicas"] == 3

    await eventually(back, within=SOON)
    await asyncio.sleep(3)
    assert (await scene.get("apps/v1", "Deployment", "a"))["spec"]["replicas"] == 3


async def test_t41_autoscaler_that_is_gone_gives_the_replicas_back(scene):
    """When the chart has no autoscaler any more, the chart decides about replicas again."""
    await installed(scene, "a", {"hpa": True, "replicas": 1})
    await scene.change("Web", "a", {"hpa": False})
    await scene.deployed("Web", "a", revision=2)
    with pytest.raises(NotFound):
        await scene.get("autoscaling/v2", "HorizontalPodAutoscaler", "a")
    await scene.patch("apps/v1", "Deployment", "a", {"spec": {"replicas": 3}})

    async def back():
        return (await scene.get("apps/v1", "Deployment", "a"))["spec"]["replicas"] == 1

    await eventually(back, within=SOON)
