"""Gateways over HTTP, against a real API server; each fault of KubeSphere's API has a test of its name."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.web.conftest import WORKING, eventually
from tests.web.objects import KIND, body, known, one_of, written


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


async def test_kk5660_a_gateway_that_was_off_is_on_again_as_it_was(people, project, empty):
    """R16: until all is taken down it shows that it goes and what it waits for, and nothing takes its place."""
    manager, path, name = people.manager(project), f"/namespaces/{project}/gateways", f"kubesphere-router-{project}"
    first = await manager.ask("POST", path, json=body(deployment={"replicas": 2}))
    assert first.status == 200, first.text
    await known(manager, project, name)
    holding = json.dumps({"metadata": {"finalizers": ["gateway.kubesphere.io/helm-release"]}})
    empty.kubectl("patch", KIND, name, "-n", WORKING, "--type=merge", "-p", holding)
    assert (await manager.ask("DELETE", path)).status == 200

    async def going():
        return "deletionTimestamp" in (await manager.get(one_of(project))).json["metadata"]

    await eventually(going)
    leaving = [{"type": "Deployed", "status": "False", "reason": "x", "message": "waits for Nginx of-it"}]
    status = json.dumps({"status": {"conditions": leaving}})
    empty.kubectl("patch", KIND, name, "-n", WORKING, "--subresource=status", "--type=merge", "-p", status)

    async def told():
        left = await manager.ask("DELETE", f"{path}?wait=1")
        assert (left.status, left.json["message"], left.json["gateway"]["metadata"]["name"]) == (202, "deleting", name)
        return left.json["waitingFor"] == "waits for Nginx of-it"

    await eventually(told)
    meanwhile = await manager.ask("POST", path, json=body())
    assert (meanwhile.status, meanwhile.reason) == (409, "AlreadyExists")
    waits = asyncio.create_task(manager.ask("DELETE", f"{path}?wait=60"))
    await asyncio.sleep(0.2)
    empty.kubectl("patch", KIND, name, "-n", WORKING, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    done = await waits
    assert (done.status, done.json) == (200, {"message": "success"})
    again = await manager.ask("POST", path, json=body(deployment={"replicas": 2}))
    assert again.status == 200, again.text
    assert again.json["spec"] == first.json["spec"]
    assert again.json["metadata"]["uid"] != first.json["metadata"]["uid"]
    assert "status" not in again.json


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

    for _ in range(5):  # a winner by the clock's whole seconds and by name was right most times
        answers = await asyncio.gather(*(create(f"main-{i}") for i in reversed(range(6))))
        assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409, 409]
        assert {answer.reason for answer in answers if answer.status == 409} == {"IngressClassTaken"}
        (left,) = json.loads(empty.kubectl("get", KIND, "-A", "-o", "json"))["items"]
        (won,) = [answer for answer in answers if answer.status == 200]
        assert left["metadata"]["uid"] == won.json["metadata"]["uid"]
        empty.kubectl("delete", KIND, "--all", "-A")


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


async def test_kk4513_kk4543_con2740_con2723_patches_at_once_all_count(people, project):
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


async def test_kk5712_con2385_list_and_get_agree(people, project, empty):
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
