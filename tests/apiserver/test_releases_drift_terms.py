"""What is not put back: policies, ignore rules, and fields that controllers own."""

from __future__ import annotations

import asyncio
import base64
import json

import trustme

from gateway_operator.releases import names
from releases_lab import conditions, eventually

HPA = "kube-controller-manager"
POLICY = "gateway.kubesphere.io/drift-policy"


async def started(world, **spec):
    """Release `a` of the chart `drift`, deployed and compared."""
    await world.custom("Web", "a", spec)
    await world.condition("Web", "a", "Deployed", "True", "InstallSuccessful")


def settings(world, **row):
    """Settings with one row of the chart `drift`."""
    return world.settings(world.row("Web", "drift", **row))


async def edit(world, kind, name, patch, *, api_version="v1", manager="kubectl-edit", namespace="", **more):
    """Merge-patch an object as `manager`."""
    resource = await world.api.resource(api_version, kind)
    where = world.namespace if namespace == "" else namespace
    return await world.api.merge_patch(resource, name, patch, where, field_manager=manager, **more)


async def data(world, name="a"):
    """The data of a ConfigMap."""
    return (await world.get("v1", "ConfigMap", name))["data"]


async def is_put_back(world, name="a"):
    """True when a ConfigMap of the chart is as it was."""
    assert await data(world, name) == {"text": "hello", "other": "world"}
    return True


async def left_alone(world, engine, ask):
    """Wait until the engine has had its say about the last change, then ask whether that stayed."""
    await edit(world, "ConfigMap", "a-kept", {"data": {"text": "probe"}})  # an event that comes after the others
    await eventually(lambda: is_put_back(world, "a-kept"))
    await asyncio.sleep(0.3)

    async def idle():
        return engine.idle

    await eventually(idle)
    assert await ask()


async def drifted(world, status, *texts):
    """Wait for the condition Drifted to be so, and to name all of these."""

    async def asked():
        found = conditions(await world.look("Web", "a"))["Drifted"]
        assert found["status"] == status, found
        assert all(text in found["message"] for text in texts), found
        return found

    return await eventually(asked)


async def test_policy_warn_of_a_row_says_and_does_not_write(world):
    """A changed, an added and a missing thing are told, in an Event and in the condition Drifted, until they go."""
    async with world.engine(settings(world, driftPolicy="warn")):
        await started(world)
        await drifted(world, "False")
        await edit(world, "ConfigMap", "a", {"data": {"text": "mine", "extra": "x"}})
        await world.delete("v1", "Secret", "a")
        await drifted(world, "True", '/data/text "mine" -> "hello"', '/data/extra "x"', "Secret", "is missing")
        assert (await data(world))["text"] == "mine"
        assert await world.gone("v1", "Secret", "a")
        found = await eventually(lambda: events(world, "DriftDetected", 2))
        assert any("changed by kubectl-edit" in text for text in found)
        assert await world.events("DriftCorrected") == []
        await edit(world, "ConfigMap", "a", {"data": {"text": "hello", "extra": None}})
        await world.create("v1", "Secret", "a", metadata={"labels": {names.MANAGED_BY: "Helm"}})
        await drifted(world, "True", "Secret")  # it is there, but not as it should be
        await world.patch("v1", "ConfigMap", "a-kept", {"data": {"text": "x"}})
        await drifted(world, "True", "a-kept")
        message = conditions(await world.look("Web", "a"))["Drifted"]["message"]
        assert f"ConfigMap {world.namespace}/a " not in message


async def events(world, reason, count):
    """Return the Events once there are enough."""
    found = await world.events(reason)
    assert len(found) >= count, found
    return found


async def test_policy_of_a_custom_resource_wins_over_its_row(world):
    """And a change of it takes effect at once: what was only told is put back."""
    async with world.engine(settings(world, driftPolicy="ignore")):
        await started(world)
        await world.patch(world.api_version, "Web", "a", {"metadata": {"annotations": {POLICY: "warn"}}})
        await edit(world, "ConfigMap", "a", {"data": {"text": "mine"}})
        await drifted(world, "True", "/data/text")
        await world.patch(world.api_version, "Web", "a", {"metadata": {"annotations": {POLICY: "revert"}}})
        await eventually(lambda: is_put_back(world))
        await drifted(world, "False")


async def test_policy_ignore_of_a_row_does_nothing(world):
    """No Event, no condition, no repair."""
    async with world.engine(settings(world, driftPolicy="ignore")):
        await started(world)
        await edit(world, "ConfigMap", "a", {"data": {"text": "mine"}})
        await world.delete("v1", "Secret", "a")
        await asyncio.sleep(1.5)
        assert (await data(world))["text"] == "mine"
        assert await world.gone("v1", "Secret", "a")
        assert await world.events("DriftDetected") == []
        await drifted(world, "False")


async def test_policy_of_a_single_object(world):
    """By an annotation that somebody puts on it, which stays, and by the chart's."""
    async with world.engine(settings(world)) as engine:
        await started(world, policy="warn")
        await edit(world, "ConfigMap", "a", {"data": {"text": "mine"}})
        await drifted(world, "True", "/data/text")
        await edit(world, "ConfigMap", "a", {"metadata": {"annotations": {POLICY: "ignore"}}})
        await drifted(world, "False")

        async def stays():
            assert (await data(world))["text"] == "mine"
            return (await world.get("v1", "ConfigMap", "a"))["metadata"]["annotations"][POLICY] == "ignore"

        await left_alone(world, engine, stays)
        await edit(world, "ConfigMap", "a", {"metadata": {"annotations": {POLICY: "revert"}}})
        await eventually(lambda: is_put_back(world))


async def test_ignore_rules_name_fields_objects_and_managers(world):
    """Named fields stay as they are, also when their neighbours are put back; the rest of the object is repaired."""
    rules = [
        {"target": {"kind": "ConfigMap", "name": "a"}, "paths": ["/data/text", "/metadata/labels/team*"]},
        {"target": {"kind": "Secret"}},
        {"target": {"kind": "Deployment"}, "paths": ["/spec/template/spec/containers/*/image"]},
        {"managers": ["team-tool"]},
    ]
    async with world.engine(settings(world, ignoreRules=rules)) as engine:
        await started(world)
        labels = {"team-a": "blue", "mine": "yes"}
        patch = {"metadata": {"labels": labels}, "data": {"text": "mine", "other": "mine", "extra": "x"}}
        await edit(world, "ConfigMap", "a", patch)
        await world.delete("v1", "Secret", "a")
        await edit(world, "Service", "a", {"metadata": {"labels": {"tool": "yes"}}}, manager="team-tool")
        resource = await world.api.resource("apps/v1", "Deployment")
        image = "/spec/template/spec/containers/0/image"
        ops = [
            {"op": "replace", "path": image, "value": "example.com/mine:2"},
            {"op": "replace", "path": "/spec/replicas", "value": 7},
        ]
        await world.api.json_patch(resource, "a", ops, world.namespace, field_manager="kubectl-edit")

        async def repaired():
            assert await data(world) == {"text": "mine", "other": "world"}
            found = (await world.get("v1", "ConfigMap", "a"))["metadata"]["labels"]
            assert (found.get("team-a"), found.get("mine")) == ("blue", None)
            deployment = await world.get("apps/v1", "Deployment", "a")
            assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/mine:2"
            assert (await world.get("v1", "Service", "a"))["metadata"]["labels"]["tool"] == "yes"
            return deployment["spec"]["replicas"] == 2

        await eventually(repaired)
        await left_alone(world, engine, repaired)
        assert await world.gone("v1", "Secret", "a")


async def test_an_autoscaler_is_not_fought_and_people_are(world):
    """HPA writes by the scale subresource; `kubectl scale` does, too, but is a person."""
    scale = {"spec": {"replicas": 5}}
    async with world.engine(settings(world)) as engine:
        await started(world)
        deployment = {"api_version": "apps/v1"}
        await edit(world, "Deployment", "a", scale, manager=HPA, subresource="scale", **deployment)

        async def scaled():
            return (await world.get("apps/v1", "Deployment", "a"))["spec"]["replicas"] == 5

        await left_alone(world, engine, scaled)
        image = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "example.com/mine:2"}
        resource = await world.api.resource("apps/v1", "Deployment")
        await world.api.json_patch(resource, "a", [image], world.namespace, field_manager="kubectl-set")

        async def image_is_back():
            found = await world.get("apps/v1", "Deployment", "a")
            assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/none:1"
            return found["spec"]["replicas"] == 5

        await eventually(image_is_back)
        await edit(
            world, "Deployment", "a", {"spec": {"replicas": 6}}, manager="kubectl", subresource="scale", **deployment
        )

        async def descaled():
            return (await world.get("apps/v1", "Deployment", "a"))["spec"]["replicas"] == 2

        await eventually(descaled)


async def test_a_chart_without_replicas_leaves_scaling_to_others(world):
    """Also to people: the default of one replica is nobody's wish."""
    async with world.engine(settings(world)) as engine:
        await started(world, scaled=False)
        scale = {"spec": {"replicas": 5}}
        await edit(world, "Deployment", "a", scale, api_version="apps/v1", manager="kubectl", subresource="scale")

        async def scaled():
            return (await world.get("apps/v1", "Deployment", "a"))["spec"]["replicas"] == 5

        await left_alone(world, engine, scaled)


async def test_an_injected_ca_bundle_is_not_fought(world):
    """Whoever injects it."""
    name, kind = f"{world.namespace}-a", "ValidatingWebhookConfiguration"
    group = "admissionregistration.k8s.io/v1"
    async with world.engine(settings(world)) as engine:
        await started(world)
        resource = await world.api.resource(group, kind)
        for manager in ("cainjector", "patch-job"):
            bundle = {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": CA[manager]}
            await world.api.json_patch(resource, name, [bundle], field_manager=manager)

            async def injected(manager=manager):
                [hook] = (await world.get(group, kind, name, None))["webhooks"]
                return hook["clientConfig"].get("caBundle") == CA[manager]

            await left_alone(world, engine, injected)
        await edit(world, kind, name, {"metadata": {"labels": {"mine": "yes"}}}, api_version=group, namespace=None)

        async def label_is_gone():
            found = await world.get(group, kind, name, None)
            assert found["webhooks"][0]["clientConfig"]["caBundle"] == CA["patch-job"]
            return "mine" not in found["metadata"]["labels"]

        await eventually(label_is_gone)


async def test_what_controllers_apply_stays_and_what_kubectl_applies_goes(world):
    """By server-side apply both own only what they say; the one's label and changed key stay."""
    async with world.engine(settings(world)) as engine:
        await started(world)
        resource = await world.api.resource("v1", "ConfigMap")
        meta = {"name": "a", "namespace": world.namespace}
        theirs = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**meta, "labels": {"theirs": "yes"}},
            "data": {"text": "theirs"},
        }
        await world.api.apply(resource, theirs, field_manager="my-controller", force=True)
        mine = {**theirs, "metadata": {**meta, "labels": {"mine": "yes"}}, "data": {"other": "mine", "extra": "x"}}
        await world.api.apply(resource, mine, field_manager="kubectl", force=True)

        async def sorted_out():
            found = await world.get("v1", "ConfigMap", "a")
            assert found["metadata"]["labels"].get("theirs") == "yes"
            assert "mine" not in found["metadata"]["labels"]
            return found["data"] == {"text": "theirs", "other": "world"}

        await eventually(sorted_out)
        await left_alone(world, engine, sorted_out)


async def test_a_default_that_somebody_owns_is_tried_once(world):
    """It comes back by itself when it is removed: no drift, no Event, and no second try."""
    async with world.engine(settings(world)) as engine:
        await started(world)
        resource = await world.api.resource("apps/v1", "Deployment")
        meta = {"name": "a", "namespace": world.namespace}
        mine = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"revisionHistoryLimit": 10}}
        await world.api.apply(resource, mine, field_manager="kubectl", force=True)

        async def stays():
            found = await world.get("apps/v1", "Deployment", "a")
            return found["spec"]["revisionHistoryLimit"] == 10

        await left_alone(world, engine, stays)
        assert await of_kind(world, "Deployment") == []
        await edit(world, "Deployment", "a", {"spec": {"revisionHistoryLimit": 4}}, api_version="apps/v1")
        await eventually(lambda: of_kind(world, "Deployment"))
        assert await stays()


async def test_a_restart_by_kubectl_is_left_alone(world, api_cluster):
    """Putting its annotation back would roll the pods a second time."""
    async with world.engine(settings(world)) as engine:
        await started(world)
        await asyncio.to_thread(api_cluster.kubectl, "-n", world.namespace, "rollout", "restart", "deployment", "a")

        async def restarted():
            template = (await world.get("apps/v1", "Deployment", "a"))["spec"]["template"]
            return "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]

        await left_alone(world, engine, restarted)
        assert await of_kind(world, "Deployment") == []


async def of_kind(world, kind):
    """The corrections of a kind."""
    return [text for text in await world.events("DriftCorrected") if text.startswith(f"{kind} ")]


async def test_kk4503_kk4540_kk4841_real_kubectl_edits_are_put_back_and_named(world, api_cluster):
    """kubectl label, set env, apply: the Event has the manager that the API server noted, and no secret."""

    def kubectl(*args, text=None):
        return api_cluster.kubectl("-n", world.namespace, *args, input=text)

    async with world.engine(settings(world)):
        await started(world)
        manifest = json.dumps(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"more": "x"}}
        )
        for args, text, manager, pointer in [
            (("label", "configmap", "a", "mine=yes"), None, "kubectl-label", "/metadata/labels/mine"),
            (("set", "env", "deployment/a", "API_TOKEN=hunter2"), None, "kubectl-set", "/env/1/value *** -> ***"),
            (("apply", "-f", "-"), manifest, "kubectl-client-side-apply", "/data/more"),
        ]:
            await asyncio.to_thread(kubectl, *args, text=text)

            async def told(manager=manager, pointer=pointer):
                return [t for t in await world.events("DriftCorrected") if manager in t and pointer in t]

            await eventually(told)
        await eventually(lambda: is_put_back(world))
        everything = " ".join(await world.events("DriftCorrected"))
        assert "hunter2" not in everything
        assert "t0ps3cret" not in everything


async def test_finalizer_and_status_of_a_custom_resource_in_a_release_are_left_alone(world):
    """As of the Nginx that a Gateway's release makes: other writers live on the same object."""
    await world.define("Child")
    async with world.engine(settings(world)) as engine:
        await started(world, childApiVersion=world.api_version)
        patch = {
            "metadata": {"finalizers": ["example.com/mine"], "annotations": {"gateway.kubesphere.io/force-at": "1"}}
        }
        await edit(world, "Child", "a", patch, api_version=world.api_version)
        await edit(world, "Child", "a", {"status": {"x": 1}}, api_version=world.api_version, subresource="status")

        async def stays():
            found = await world.get(world.api_version, "Child", "a")
            assert found["metadata"]["annotations"]["gateway.kubesphere.io/force-at"] == "1"
            return found["metadata"]["finalizers"] == ["example.com/mine"] and found["status"] == {"x": 1}

        await left_alone(world, engine, stays)
        assert await of_kind(world, "Child") == []
        await edit(world, "Child", "a", {"metadata": {"finalizers": []}}, api_version=world.api_version)


CA = {name: base64.b64encode(trustme.CA().cert_pem.bytes()).decode() for name in ("cainjector", "patch-job")}
