"""Gateways over HTTP, against a real API server; each fault of KubeSphere's API has a test of its name."""

from __future__ import annotations

import asyncio
import json

import pytest

from lab.servers.kubelet import LINE, StandInKubelet
from tests.web.conftest import CHARTS, PREFIX, WORKING, eventually

KIND = "gateways.gateway.kubesphere.io"


def body(**spec):
    """Return a Gateway as a client sends it."""
    return {"apiVersion": "gateway.kubesphere.io/v1alpha1", "kind": "Gateway", "metadata": {}, "spec": spec}


def written(cluster, name, **meta):
    """Write a cluster gateway, or with scope a project's, past the API."""
    spec = meta.pop("spec", {})
    obj = {**body(**spec), "metadata": {"name": name, "namespace": WORKING, **meta}}
    cluster.kubectl("create", "-f", "-", input=json.dumps(obj))


def read(cluster, name, namespace=WORKING):
    """Read a Gateway past the API."""
    return json.loads(cluster.kubectl("get", KIND, name, "-n", namespace, "-o", "json"))


async def known(user, namespace, *names):
    """Wait until the API's cache has these gateways of a project."""

    async def check():
        found = (await user.get(f"/namespaces/{namespace}/gateways")).json
        return {g["metadata"]["name"] for g in found} >= set(names)

    await eventually(check)


def one_of(project):
    """Return the path of a project's gateway."""
    return f"/namespaces/{project}/gateways/kubesphere-router-{project}"


async def test_life_of_a_project_gateway(people, project, empty):
    """Its manager creates, reads, patches, replaces and deletes it; name, scope and creator are the server's word."""
    manager = people.manager(project)
    sent = body(service={"type": "NodePort"}, controller={"scope": {"enabled": False, "namespace": "kube-system"}})
    sent["metadata"] = {"name": "mine", "annotations": {"kubesphere.io/creator": "somebody", "a": "b"}}
    made = await manager.ask("POST", f"/namespaces/{project}/gateways", json=sent)
    assert made.status == 200, made.text
    name = made.json["metadata"]["name"]
    assert (name, made.json["metadata"]["namespace"]) == (f"kubesphere-router-{project}", WORKING)
    assert made.json["spec"]["controller"]["scope"] == {"enabled": True, "namespace": project}
    assert made.json["metadata"]["annotations"] == {"kubesphere.io/creator": manager.name, "a": "b"}
    await known(manager, project, name)
    patched = await manager.ask("PATCH", one_of(project), json={"spec": {"deployment": {"replicas": 3}}})
    assert (patched.status, patched.json["spec"]["deployment"]["replicas"]) == (200, 3)
    assert patched.json["spec"]["service"] == {"type": "NodePort"}
    whole = patched.json
    whole["spec"]["deployment"]["replicas"] = 2
    replaced = await manager.ask("PUT", f"/namespaces/{project}/gateways", json=whole)
    assert (replaced.status, replaced.json["spec"]["deployment"]["replicas"]) == (200, 2)
    gone = await manager.ask("DELETE", f"/namespaces/{project}/gateways")
    assert (gone.status, gone.json) == (200, {"message": "success"})

    async def absent():
        answer = await manager.get(one_of(project))
        return answer.status == 404 and answer.reason == "NoGateway"

    await eventually(absent)
    again = await manager.ask("POST", f"/namespaces/{project}/gateways", json=body())
    assert again.status == 200


async def test_kk4397_a_gateway_goes_with_its_project(people, project, empty):
    """A gateway doesn't outlive its project: a later one of that name would get it."""
    manager = people.manager(project)
    made = await manager.ask("POST", f"/namespaces/{project}/gateways", json=body())
    assert made.status == 200, made.text
    name = made.json["metadata"]["name"]
    await known(manager, project, name)
    changed = await manager.ask("PUT", f"/namespaces/{project}/gateways", json=made.json)
    assert changed.status == 200, changed.text
    empty.kubectl("delete", "namespace", project)

    async def gone():
        return not empty.kubectl("get", KIND, name, "-n", WORKING, "--ignore-not-found")

    await eventually(gone)


async def test_scope_lookup_error_is_not_no_gateway(served, people, project, empty):
    """When the list of Gateways fails, a project gateway is refused with 503, and nothing is created."""
    admin = people.admin()
    role = "web-gateway-operator-api"
    whole = json.loads(empty.kubectl("get", "clusterrole", role, "-o", "json"))
    cut = json.loads(json.dumps(whole))
    for rule in cut["rules"]:
        if rule["resources"] == ["gateways"]:
            rule["verbs"].remove("list")
    del cut["metadata"]["resourceVersion"]
    empty.kubectl("replace", "-f", "-", input=json.dumps(cut))
    try:

        async def refused():
            answer = await admin.ask("POST", f"/namespaces/{project}/gateways", json=body(), params={"dryRun": "All"})
            return answer.status == 503

        await eventually(refused)
        answer = await admin.ask("POST", f"/namespaces/{project}/gateways", json=body())
        assert (answer.status, answer.reason) == (503, "OwnRightsMissing")
        assert not json.loads(empty.kubectl("get", KIND, "-A", "-o", "json"))["items"]
    finally:
        del whole["metadata"]["resourceVersion"]
        empty.kubectl("replace", "-f", "-", input=json.dumps(whole))

    async def allowed():
        answer = await admin.ask("POST", f"/namespaces/{project}/gateways", json=body(), params={"dryRun": "All"})
        return answer.status == 200

    await eventually(allowed)


async def test_check_and_create_are_safe_under_races(people, project, empty):
    """Of cluster gateways of one class that are created at once, one stays and the others are told why not."""
    admin = people.admin()

    async def create(name):
        sent = body()
        sent["metadata"]["name"] = name
        return await admin.ask("POST", "/namespaces/kubesphere-system/gateways", json=sent)

    answers = await asyncio.gather(*(create(f"main-{i}") for i in range(6)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409, 409]
    assert {answer.reason for answer in answers if answer.status == 409} == {"IngressClassTaken"}
    (left,) = json.loads(empty.kubectl("get", KIND, "-A", "-o", "json"))["items"]
    (won,) = [answer for answer in answers if answer.status == 200]
    assert left["metadata"]["uid"] == won.json["metadata"]["uid"]


async def test_refusals_have_reasons_not_500(people, project, empty):
    """What KubeSphere refuses with 500 has a status and a word of its own."""
    admin, manager = people.admin(), people.manager(project)
    written(empty, "main")
    await known(admin, project, "main")
    path = f"/namespaces/{project}/gateways"
    cases = {
        (409, "ClusterGatewayExists"): ("POST", path, body()),
        (404, "NoGateway"): ("DELETE", path, None),
        (400, "BadJson"): ("POST", path, [1]),
        (422, "WrongKind"): ("POST", path, {"kind": "Pod"}),
    }
    for (status, reason), (method, where, sent) in cases.items():
        answer = await manager.ask(method, where, **({} if sent is None else {"json": sent}))
        assert (answer.status, answer.reason) == (status, reason)
    answer = await manager.ask("POST", path, data=b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")
    missing = await admin.ask("POST", "/namespaces/no-such-project/gateways", json=body())
    assert (missing.status, missing.reason) == (404, "NoProject")


async def test_upgrade_without_a_legacy_router_is_409(people, project):
    """Where KubeSphere answers 500, a project without a router of 3.1 is told that there is nothing to upgrade."""
    answer = await people.manager(project).ask("POST", f"/namespaces/{project}/gateways/x/upgrade")
    assert (answer.status, answer.reason) == (409, "NoLegacyGateway")


async def test_kk5242_gateways_outside_the_working_namespace_stay_known(served, people, project, empty):
    """R11: each Gateway knows where it lies: logs, metrics and status of one that lies elsewhere are found there."""
    claim = body(controller={"scope": {"enabled": True, "namespace": project}})
    claim["metadata"] = {"name": "older", "namespace": project}
    empty.kubectl("create", "-f", "-", input=json.dumps(claim))
    manager = people.manager(project)
    await known(manager, project, "older")
    assert (await manager.get(f"/namespaces/{project}/gateways/older")).json["metadata"]["namespace"] == project
    tenant = served.run(served.running.services.gateways.tenant(project))
    assert (tenant.gateway, tenant.working_namespace) == ("older", project)


async def test_schema_errors_are_422(people, project):
    """What the API server's schema refuses, and unknown fields, keep its words."""
    manager = people.manager(project)
    for spec in ({"deployment": {"replicas": "many"}}, {"deploymnt": {}}, {"service": {"type": "Pigeon"}}):
        answer = await manager.ask("POST", f"/namespaces/{project}/gateways", json=body(**spec))
        assert answer.status in {400, 422}, answer.text
        assert answer.reason in {"Invalid", "BadRequest"}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"values": {"controller": {"image": {"repository": "evil"}}}}, "ValuesForbidden"),
        ({"values": {"rbac": {"create": False}}}, "ValuesForbidden"),
        ({"controller": {"tcp": {"8080": "kube-system/dns:53"}}}, "TargetForbidden"),
        ({"controller": {"config": {"worker-processes": "4; evil"}}}, "ConfigInvalid"),
    ],
)
async def test_a_project_manager_gains_no_rights_by_the_working_namespace(people, project, spec, reason):
    """The object lies among trusted ones, and yet takes nothing from a project's manager that gives rights."""
    manager = people.manager(project)
    answer = await manager.ask("POST", f"/namespaces/{project}/gateways", json=body(**spec))
    assert (answer.status, answer.reason) == (422, reason)
    made = await manager.ask("POST", f"/namespaces/{project}/gateways", json=body())
    await known(manager, project, made.json["metadata"]["name"])
    answer = await manager.ask("PATCH", one_of(project), json={"spec": spec})
    assert (answer.status, answer.reason) == (422, reason)
    patched = await manager.ask("PATCH", one_of(project), json={"spec": {"controller": {"scope": {"enabled": False}}}})
    assert patched.json["spec"]["controller"]["scope"] == {"enabled": True, "namespace": project}


async def test_put_of_the_cluster_gateway_as_it_was_read(people, project, empty):
    """The cluster's gateway, sent back as the API gave it, is accepted: KubeSphere's PUT fails on its namespace."""
    admin = people.admin()
    made = await admin.ask("POST", "/namespaces/kubesphere-system/gateways", json=body())
    assert made.json["metadata"]["namespace"] == WORKING
    await known(admin, "kubesphere-system", "kubesphere-router-kubesphere-system")
    (whole,) = (await admin.get("/namespaces/kubesphere-system/gateways")).json
    whole["spec"].setdefault("deployment", {})["replicas"] = 2
    answer = await admin.ask("PUT", "/namespaces/kubesphere-system/gateways", json=whole)
    assert (answer.status, answer.json["spec"]["deployment"]["replicas"]) == (200, 2)


async def test_a_stale_put_gets_the_current_object(people, project, empty):
    """A resourceVersion that is old is 409 with what is there now; none at all is 422."""
    manager = people.manager(project)
    old = (await manager.ask("POST", f"/namespaces/{project}/gateways", json=body())).json
    await known(manager, project, old["metadata"]["name"])
    await manager.ask("PATCH", one_of(project), json={"spec": {"deployment": {"replicas": 3}}})
    answer = await manager.ask("PUT", one_of(project), json=old)
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert answer.json["current"]["spec"]["deployment"]["replicas"] == 3
    del old["metadata"]["resourceVersion"]
    answer = await manager.ask("PUT", one_of(project), json=old)
    assert (answer.status, answer.reason) == (422, "NoResourceVersion")


async def test_patches_at_once_all_count(people, project):
    """Patches of different fields at the same time all arrive, without a client's retry."""
    manager = people.manager(project)
    made = await manager.ask("POST", f"/namespaces/{project}/gateways", json=body())
    await known(manager, project, made.json["metadata"]["name"])
    patches = [{"metadata": {"annotations": {f"k{i}": "v"}}} for i in range(4)]
    answers = await asyncio.gather(*(manager.ask("PATCH", one_of(project), json=patch) for patch in patches))
    assert [answer.status for answer in answers] == [200] * 4
    found = await manager.get(one_of(project))

    async def all_there():
        found = await manager.get(one_of(project))
        return {f"k{i}" for i in range(4)} <= found.json["metadata"]["annotations"].keys()

    assert found.status == 200
    await eventually(all_there)


async def test_lists_are_filtered_not_forbidden(people, project, empty):
    """A project's user lists his own gateways and the outline of the cluster's; others' he doesn't see."""
    written(empty, "main", spec={"controller": {"config": {"proxy-body-size": "8m"}}})
    for name in (project, "other"):
        scope = {"controller": {"scope": {"enabled": True, "namespace": name}}}
        written(empty, f"gw-{name}", spec=scope)
    admin, manager, nobody = people.admin(), people.manager(project), people.having()
    await known(admin, "other", "gw-other")

    async def names(user):
        answer = await user.get("/gateways", params={"sortBy": "name", "ascending": "true"})
        assert answer.json["totalItems"] == len(answer.json["items"])
        return [g["metadata"]["name"] for g in answer.json["items"]]

    assert await names(admin) == sorted(["gw-other", f"gw-{project}", "main"])
    assert await names(manager) == [f"gw-{project}", "main"]
    assert await names(nobody) == []
    (_, outline) = (await manager.get("/gateways", params={"sortBy": "name", "ascending": "true"})).json["items"]
    assert "proxy-body-size" not in json.dumps(outline)
    (full,) = (await admin.get("/gateways", params={"name": "mai"})).json["items"]
    assert full["spec"]["controller"]["config"] == {"proxy-body-size": "8m"}


async def test_list_and_get_agree(people, project, empty):
    """What a project's page lists as its own is what a get gives; the cluster's gateway is listed once, as itself."""
    written(empty, "main")
    written(empty, f"gw-{project}", spec={"controller": {"scope": {"enabled": True, "namespace": project}}})
    manager = people.manager(project)
    await known(manager, project, "main", f"gw-{project}")
    listed = (await manager.get(f"/namespaces/{project}/gateways")).json
    assert [g["metadata"]["name"] for g in listed] == ["main", f"gw-{project}"]
    assert (await manager.get(f"/namespaces/{project}/gateways/gw-{project}")).json == listed[1]
    assert (await manager.get(f"/namespaces/{project}/gateways/main")).status == 404


async def test_a_gateway_that_claims_too_much_belongs_to_its_own_namespace(people, project, empty):
    """A Gateway that another project puts up in this one's name is shown to nobody but to its own namespace."""
    other = f"{project}-b"
    empty.kubectl("create", "namespace", other)
    claim = body(controller={"scope": {"enabled": True, "namespace": project}})
    claim["metadata"] = {"name": "thief", "namespace": other}
    empty.kubectl("create", "-f", "-", input=json.dumps(claim))
    manager, theirs = people.manager(project), people.manager(other)
    await known(theirs, other, "thief")
    assert (await manager.get(f"/namespaces/{project}/gateways")).json == []
    assert (await manager.get(f"/namespaces/{project}/gateways/thief")).status == 404


async def test_filters_sort_and_pages(people, project, empty):
    """All of KubeSphere's parameters work; an unknown one is named instead of giving an empty list."""
    for i in range(5):
        labels = {"tier": "a" if i % 2 else "b", "n": str(i)}
        written(empty, f"g-{i}", spec={"ingressClass": {"name": f"c{i}", "default": False}}, labels=labels)
    admin = people.admin()
    await known(admin, "kubesphere-system", *(f"g-{i}" for i in range(5)))

    async def names(**params):
        answer = await admin.get("/gateways", params={"sortBy": "name", "ascending": "true"} | params)
        assert answer.status == 200, answer.text
        return [g["metadata"]["name"] for g in answer.json["items"]], answer.json["totalItems"]

    assert await names(limit="2", page="2") == (["g-2", "g-3"], 5)
    assert await names(ascending="false", limit="1") == (["g-4"], 5)
    assert await names(labelSelector="tier in (a),n!=1") == (["g-3"], 1)
    assert await names(labelSelector="!tier") == ([], 0)
    assert await names(name="-3") == (["g-3"], 1)
    assert await names(names="g-0,g-4") == (["g-0", "g-4"], 2)
    assert await names(label="tier=a") == (["g-1", "g-3"], 2)
    assert await names(namespace=project) == ([], 0)
    for params, reason in (({"colour": "red"}, "UnknownParameter"), ({"page": "0"}, "BadParameter")):
        answer = await admin.get("/gateways", params=params)
        assert (answer.status, answer.reason) == (422, reason)


async def test_read_only_status_of_kubesphere(people, project, empty):
    """`status.loadBalancer` and `status.service` are there on read, for addresses and for host names."""
    written(empty, "main")
    status = {"addresses": ["192.0.2.7", "lb.example.com"], "ports": [{"name": "http", "port": 80, "nodePort": 30080}]}
    patch = ("patch", KIND, "main", "-n", WORKING, "--subresource=status", "--type=merge", "-p")
    empty.kubectl(*patch, json.dumps({"status": status}))
    admin = people.admin()

    async def shown():
        answer = await admin.get("/namespaces/kubesphere-system/gateways/main")
        return answer.json.get("status") if answer.status == 200 else None

    found = await eventually(shown)
    assert found["loadBalancer"] == {"ingress": [{"ip": "192.0.2.7"}, {"hostname": "lb.example.com"}]}
    assert found["service"] == status["ports"]


async def test_dry_runs_write_nothing(people, project, empty):
    """dryRun=All gives the object as it would be, dryRun=plan also values and manifests; nothing is there after."""
    manager = people.manager(project)
    checked = await manager.ask("POST", f"/namespaces/{project}/gateways?dryRun=All", json=body())
    assert (checked.status, checked.json["kind"]) == (200, "Gateway")
    sent = body(deployment={"replicas": 3})
    planned = await manager.ask("POST", f"/namespaces/{project}/gateways?dryRun=plan", json=sent)
    assert planned.status == 200, planned.text
    first, second = planned.json["plans"]
    assert (first["action"], first["object"]) == ("install", f"Gateway {WORKING}/kubesphere-router-{project}")
    assert any("Deployment" in one["object"] for one in second["objects"])
    assert any(change["pointer"].endswith("/replicaCount") or change["pointer"] for change in second["values"])
    assert not json.loads(empty.kubectl("get", KIND, "-A", "-o", "json"))["items"]


async def test_events_stream(people, project, empty):
    """A stream begins with what is there and goes on with changes, each as its reader may see it."""
    manager = people.manager(project)
    written(empty, f"gw-{project}", spec={"controller": {"scope": {"enabled": True, "namespace": project}}})
    await known(manager, project, f"gw-{project}")
    path = "/kapis/gateway.kubesphere.io/v1alpha1/gateways?watch=true"
    async with asyncio.timeout(60), manager.session() as session, session.get(path) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")

        async def event():
            kind, data = "", None
            async for line in stream.content:
                text = line.decode().rstrip()
                kind = text.removeprefix("event: ") if text.startswith("event: ") else kind
                data = json.loads(text.removeprefix("data: ")) if text.startswith("data: ") else data
                if not text and data is not None:
                    name = data.get("object", {}).get("metadata", {}).get("name")
                    return kind, name
            return "", None

        assert await event() == ("ADDED", f"gw-{project}")
        assert await event() == ("SYNCED", None)
        written(empty, "gw-other", spec={"controller": {"scope": {"enabled": True, "namespace": "other"}}})
        empty.kubectl("label", KIND, f"gw-{project}", "-n", WORKING, "a=b")
        assert await event() == ("MODIFIED", f"gw-{project}")
        empty.kubectl("delete", KIND, f"gw-{project}", "-n", WORKING)
        assert await event() == ("DELETED", f"gw-{project}")


async def test_dropped_followers_leave_nothing(served, people, project, empty):
    """Streams that clients drop leave no task and no place taken."""
    manager = people.manager(project)
    path = "/kapis/gateway.kubesphere.io/v1alpha1/gateways?watch=true"
    services = served.running.services
    async with manager.session() as session:
        streams = await asyncio.gather(*(session.get(path) for _ in range(40)))
        await asyncio.gather(*(stream.content.readline() for stream in streams))
        assert len(services.gateways._followers) == 40
        for stream in streams:
            stream.close()

    async def gone():
        return not services.gateways._followers and not services.limits._streams

    await eventually(gone, 10)


async def test_kk4927_logs_that_clients_drop_leave_nothing(served, people, project, empty):
    """R13: a client that leaves ends its log all the way: no task and no place here, no connection at the kubelet."""
    written(empty, f"gw-{project}", spec={"controller": {"scope": {"enabled": True, "namespace": project}}})
    patch = ("patch", KIND, f"gw-{project}", "-n", WORKING, "--subresource=status", "--type=merge", "-p")
    empty.kubectl(*patch, json.dumps({"status": {"selector": f"app={project}"}}))
    manager = people.manager(project)
    path = f"{PREFIX}/namespaces/{project}/gateways/gw-{project}/pods/{project}-1/log?follow=true"
    limits = served.running.services.limits
    kubelet = StandInKubelet(empty, f"node-{project}")

    async def listed():
        answer = await manager.get(f"/namespaces/{project}/gateways/gw-{project}/pods")
        return answer.status == 200 and answer.json["totalItems"]

    async def gone():
        return not kubelet.followed and not limits._streams and tasks(served) <= before

    async with kubelet.serving(), manager.session() as session:
        await kubelet.pod(WORKING, f"{project}-1", {"app": project})
        await eventually(listed)
        before = tasks(served)
        streams = await asyncio.gather(*(session.get(path) for _ in range(30)))
        assert {await stream.content.readline() for stream in streams} == {LINE}
        assert kubelet.followed == 30
        for stream in streams:
            stream.close()
        await eventually(gone, 30)
        empty.kubectl("delete", "pod", "-n", WORKING, f"{project}-1", "--force", "--grace-period=0")


def tasks(served):
    """Return how many tasks the API's loop has."""
    return len(asyncio.all_tasks(served.loop))


async def test_pods_of_a_gateway_only(people, project, empty):
    """The list holds a gateway's pods, whichever there are; a pod that isn't the gateway's has no log here."""
    written(empty, f"gw-{project}", spec={"controller": {"scope": {"enabled": True, "namespace": project}}})
    patch = ("patch", KIND, f"gw-{project}", "-n", WORKING, "--subresource=status", "--type=merge", "-p")
    empty.kubectl(*patch, json.dumps({"status": {"selector": f"app={project}"}}))
    for name, app in ((f"{project}-1", project), (f"{project}-x", "else")):
        container = {"name": "controller", "image": "none"}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": WORKING, "labels": {"app": app}},
        }
        empty.kubectl("apply", "-f", "-", input=json.dumps({**pod, "spec": {"containers": [container]}}))
    manager = people.manager(project)
    path = f"/namespaces/{project}/gateways/gw-{project}/pods"

    async def listed():
        answer = await manager.get(path)
        return answer.json if answer.status == 200 and answer.json["totalItems"] else None

    found = await eventually(listed)
    assert [pod["metadata"]["name"] for pod in found["items"]] == [f"{project}-1"]
    assert (await manager.get(path, params={"phase": "Running"})).json["totalItems"] == 0
    for pod in (f"{project}-x", "no-such-pod"):
        answer = await manager.get(f"{path}/{pod}/log")
        assert (answer.status, answer.reason) == (404, "NoPod")
    for query in (
        "tailLines=x",
        "follow=yes",
        "container=../x",
        "sinceTime=now",
        "stream=All",
        "follow=true&follow=false",
    ):
        answer = await manager.get(f"{path}/{project}-1/log?{query}")
        assert answer.status == 422, query
    answer = await manager.get(f"{path}/{project}-1/log")
    assert (answer.status, answer.text) == (200, ""), "it has said nothing yet"
    empty.kubectl("delete", "pod", "-n", WORKING, f"{project}-1", f"{project}-x", "--force", "--grace-period=0")


async def test_history_and_rollback(people, project, empty, helm_binary, tmp_path):
    """The revisions come from Helm's records; a rollback asks the operator by its annotation, a resume takes it off."""
    import subprocess

    name = f"gw-{project}"
    written(empty, name, spec={"controller": {"scope": {"enabled": True, "namespace": project}}})
    values = {"controller": {"scope": {"enabled": True, "namespace": project}}, "nginxName": name}
    for _ in range(2):
        command = [str(helm_binary), "upgrade", "--install", name, str(CHARTS / "gateway"), "-n", WORKING]
        flags = ["--kubeconfig", str(empty.kubeconfig), "--values", "-"]
        subprocess.run([*command, *flags], input=json.dumps(values), check=True, capture_output=True, text=True)
    manager = people.manager(project)
    await known(manager, project, name)
    path = f"/namespaces/{project}/gateways/{name}"
    found = (await manager.get(f"{path}/history")).json
    assert found["release"] == name
    assert [(r["revision"], r["status"]) for r in found["revisions"]] == [(1, "superseded"), (2, "deployed")]
    answer = await manager.ask("POST", f"{path}/rollback", json={"revision": 7})
    assert (answer.status, answer.reason, answer.json["revisions"]) == (409, "NoRevision", [1, 2])
    answer = await manager.ask("POST", f"{path}/rollback", json={"revision": "one"})
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert (await manager.ask("POST", f"{path}/rollback", json={"revision": 1})).status == 200
    key = "gateway.kubesphere.io/rollback-to"
    assert read(empty, name)["metadata"]["annotations"][key] == "1"
    assert (await manager.ask("DELETE", f"{path}/rollback")).status == 200
    assert key not in read(empty, name)["metadata"].get("annotations", {})
    subprocess.run(
        [str(helm_binary), "uninstall", name, "-n", WORKING, "--kubeconfig", str(empty.kubeconfig)], check=True
    )


async def test_readyz_names_what_is_down(served):
    """Probes need no credentials, and say by name what is configured and what is down."""
    answer = await served.user().get("/readyz")
    assert answer.status == 200
    assert answer.json == {"ready": True, "down": {}, "configured": {"logs": False, "metrics": False}}


async def test_logs_and_metrics_that_are_not_configured(people, project):
    """A backend that nobody configured is 503 and named; the rest works."""
    admin = people.admin()
    for path in (
        f"/namespaces/{project}/gateways/x/logs",
        f"/kapis/monitoring.kubesphere.io/v1alpha3/namespaces/{project}/ingresses",
    ):
        answer = await admin.get(path)
        assert answer.status == 503, answer.text
        assert answer.json["down"] in {"elasticsearch", "prometheus"}
