"""What there is to choose from: ingress classes, ours and others', and the providers' catalogue."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.web.conftest import WORKING, eventually
from tests.web.objects import KIND, body, known, one_of, read, written

MAIN = f"gateway.kubesphere.io/{WORKING}.main"


@pytest.fixture
def ingress_class(empty):
    """Makes IngressClasses of a test."""
    made = []

    def make(name, controller, **annotations):
        item = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"controller": controller},
        }
        empty.kubectl("apply", "-f", "-", input=json.dumps(item))
        made.append(name)

    yield make
    empty.kubectl("delete", "ingressclass", *made)


def installed(cluster, name, **claim):
    """Write a Gateway as the operator has installed it."""
    written(cluster, name, spec=claim)
    status = json.dumps({"status": {"deployedRelease": {"name": name}}})
    cluster.kubectl("patch", KIND, name, "-n", WORKING, "--subresource=status", "--type=merge", "-p", status)


async def test_kk6238_kk6240_ingress_classes_of_ours_and_of_others_are_told(people, project, empty, ingress_class):
    """R19: a project sees the cluster's classes and who serves it there, foreign ones as such, and no other project."""
    foreign = f"foreign-{uuid.uuid4().hex[:6]}"
    ingress_class("edge", MAIN)
    ingress_class(foreign, "example.test/controller", **{"ingressclass.kubernetes.io/is-default-class": "true"})
    installed(empty, "main", ingressClass={"name": "edge"})
    for name in (project, "other"):
        scope = {"enabled": True, "namespace": name}
        installed(empty, f"gw-{name}", controller={"scope": scope}, ingressClass={"name": f"class-{name}"})
    written(empty, "planned", spec={"ingressClass": {"name": foreign}})  # nothing runs for it
    admin, manager = people.admin(), people.manager(project)
    await known(admin, "kubesphere-system", "main", "planned")

    async def classes(user, namespace):
        answer = await user.get(f"/namespaces/{namespace}/ingressclasses")
        assert answer.status == 200, answer.text
        assert answer.json["totalItems"] == len(answer.json["items"])
        return {one["name"]: one for one in answer.json["items"]}

    async def complete():
        found = await classes(admin, "kubesphere-system")
        return found if {f"class-{project}", "class-other"} <= found.keys() and found["edge"]["managed"] else None

    everything = await eventually(complete)
    mine = await classes(manager, project)
    main = {"namespace": WORKING, "name": "main", "scope": "Cluster", "withoutClass": False}
    assert mine["edge"] == {
        "name": "edge", "controller": MAIN, "default": False, "exists": True, "gateways": [main], "managed": True
    }  # fmt: skip
    assert mine[foreign] == {
        "name": foreign, "controller": "example.test/controller", "default": True, "exists": True, "gateways": [],
        "managed": False,
    }  # fmt: skip
    own = mine[f"class-{project}"]
    assert (own["exists"], own["managed"]) == (False, True)
    assert own["gateways"][0] == {
        "namespace": WORKING, "name": f"gw-{project}", "scope": "Project", "project": project, "withoutClass": True
    }  # fmt: skip
    assert "class-other" not in mine
    assert everything["class-other"]["gateways"][0]["project"] == "other"
    refused = await manager.get("/namespaces/kubesphere-system/ingressclasses")
    assert (refused.status, refused.reason) == (403, "Forbidden")


def test_kk6238_kk6240_an_ingress_needs_nothing_of_ours(empty, project, ingress_class):
    """R19: where no operator and no gateway runs, but all CRDs and roles are there, Ingresses of any class are made."""
    foreign = f"foreign-{uuid.uuid4().hex[:6]}"
    ingress_class(foreign, "example.test/controller")
    for number, name in enumerate((foreign, "nobodys", "")):
        chosen = (f"--class={name}",) if name else ()
        empty.kubectl("create", "ingress", f"i{number}", "-n", project, "--rule=a.test/=web:80", *chosen)
        assert read(empty, f"i{number}", project, kind="ingress")["spec"].get("ingressClassName") == (name or None)


async def test_con3139_con3098_kk1021_kk4101_con2169_nothing_is_injected(served, people, project, empty):
    """R18: all who are known read the catalogue, a broken entry is named, and a gateway has only what was sent."""
    served.providers.write_text(
        "- {name: aws, title: AWS, annotations: [{key: service.beta.kubernetes.io/aws-load-balancer-scheme}]}\n"
        "- {name: Broken, title: B}\n"
    )
    found = (await people.having().get("/providers")).json
    assert [one["name"] for one in found["items"]] == ["aws"]
    assert (found["leftOut"][0]["index"], found["leftOut"][0]["name"]) == (1, "Broken")
    manager = people.manager(project)
    made = await manager.ask("POST", f"/namespaces/{project}/gateways", json=body(service={"type": "LoadBalancer"}))
    assert made.status == 200, made.text
    stored = read(empty, made.json["metadata"]["name"])
    assert stored["spec"]["service"] == {"type": "LoadBalancer"}
    assert stored["metadata"]["annotations"] == {"kubesphere.io/creator": manager.name}
    await known(manager, project, made.json["metadata"]["name"])
    chosen = {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"}
    patched = await manager.ask("PATCH", one_of(project), json={"spec": {"service": {"annotations": chosen}}})
    assert patched.json["spec"]["service"]["annotations"] == chosen
