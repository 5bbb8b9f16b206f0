"""From a Gateway object to a pod that answers, on a cluster whose pods run."""

from __future__ import annotations

import json
import time

import pytest
import yaml

from lab.demo import objects as demo
from lab.demo import traffic
from lab.demo.target import Target
from lab.errors import LabError
from tests.e2e import objects as o

SAMPLE = "kubesphere-router-proj1"


def everything(target: Target) -> set[str]:
    """Names of all objects of all kinds that a gateway could leave behind."""
    kinds = target.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    wanted = [kind for kind in kinds if not kind.startswith(("events", "pods.metrics", "componentstatuses"))]
    found = target.kubectl("get", ",".join(wanted), "-A", "-o", "name", "--ignore-not-found", check=False).split()
    return {name for name in found if SAMPLE in name or "ingress-nginx" in name}


def test_sample_applies_unchanged_answers_and_leaves_nothing(clean: Target) -> None:
    """The sample ends in a pod that answers; deleting it leaves no object of any kind but what its ports were."""
    o.project(clean, "shop")
    before = everything(clean)
    clean.kubectl("apply", "-f", str(demo.SAMPLE))
    o.ready(clean, SAMPLE)
    o.answered(clean, o.route(clean, SAMPLE, "shop"))
    clean.wait("a word on its address", lambda: "AddressAssigned" in o.conditions(clean, "mgw", SAMPLE))
    pending = o.conditions(clean, "mgw", SAMPLE)["AddressAssigned"]
    assert (pending["status"], pending["reason"]) == ("False", "LoadBalancerPending")
    columns = clean.kubectl("get", "mgw,ngx", "-A")
    assert "SCOPE" in columns
    assert "ADDRESS" in columns
    assert "READY" in columns
    assert "Cluster" in columns
    clean.kubectl("delete", "-f", str(demo.SAMPLE), "--timeout=300s")
    memory = f"configmap/{SAMPLE}-node-ports"
    clean.wait("everything is gone", lambda: everything(clean) - {memory} <= before)  # an earlier test's has gone, too
    assert memory in everything(clean)


def test_refused_while_a_cluster_gateway_exists_and_installs_when_it_goes(clean: Target) -> None:
    """A new project gateway waits for the blocker, says so, and comes by itself when it is gone."""
    o.project(clean, "blog")
    clean.kubectl("apply", "-f", "-", text=o.gateway("kubesphere-router-all"))
    o.ready(clean, "kubesphere-router-all")
    late = "kubesphere-router-blog"
    clean.kubectl("apply", "-f", "-", text=o.gateway(late, project="blog"))
    clean.wait("the refusal", lambda: o.conditions(clean, "mgw", late).get("Accepted", {}).get("status") == "False")
    accepted = o.conditions(clean, "mgw", late)["Accepted"]
    assert accepted["reason"] == "ClusterGatewayExists"
    assert "kubesphere-router-all" in accepted["message"]
    clean.wait("the Event", lambda: bool(o.events(clean, o.WORKING, "ClusterGatewayExists")))
    assert not clean.get("deployment", late, "-n", o.WORKING)
    clean.kubectl("delete", "mgw", "kubesphere-router-all", "-n", o.WORKING, "--timeout=300s")
    o.ready(clean, late)
    o.answered(clean, o.route(clean, late, "blog", tls=True))


def _status_owner(target: Target, project: str) -> set[str]:
    ingress = json.loads(
        target.kubectl("get", "ingress", project, "-n", project, "-o", "json", "--show-managed-fields")
    )
    fields = ingress["metadata"]["managedFields"]
    return {field["manager"] for field in fields if field.get("subresource") == "status"}


@pytest.mark.parametrize("seconds", [10, pytest.param(600, marks=pytest.mark.long)])
def test_two_entrances_one_writer(clean: Target, seconds: int) -> None:
    """With a project gateway that was there first and a cluster gateway both answer, and the status never flips."""
    o.project(clean, "shop")
    first = "kubesphere-router-shop"
    clean.kubectl("apply", "-f", "-", text=o.gateway(first, project="shop"))
    o.ready(clean, first)
    clean.kubectl("apply", "-f", "-", text=o.gateway("kubesphere-router-all"))
    o.ready(clean, "kubesphere-router-all")
    for name in (first, "kubesphere-router-all"):
        o.answered(clean, o.route(clean, name, "shop"))
    clean.wait("a writer of the status", lambda: bool(_status_owner(clean, "shop")))
    before = clean.get("ingress", "shop", "-n", "shop")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(1)
        now = clean.get("ingress", "shop", "-n", "shop")
        assert now["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    owners = _status_owner(clean, "shop")
    assert len(owners) == 1
    assert ".project." in owners.pop()


def test_daemonset_on_the_nodes_own_ports_serves_the_whoami_ingress(clean: Target) -> None:
    """A DaemonSet with hostNetwork answers on the node's ports 80 and 443, and serves the sample Ingress."""
    o.project(clean, "shop")
    values = {"controller": {"kind": "DaemonSet", "hostNetwork": True}}
    clean.kubectl("apply", "-f", "-", text=o.gateway("edge", values=values))
    o.ready(clean, "edge")
    backend = {"service": {"name": "shop", "port": {"number": 80}}}
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "whoami", "namespace": "shop"},
        "spec": {
            "tls": [{"hosts": ["*.qikqiak.com"], "secretName": "qikqiak-tls"}],
            "rules": [
                {
                    "host": "who.qikqiak.com",
                    "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
                }
            ],
        },
    }
    secret = yaml.safe_load(yaml.safe_dump(demo.certificate("qikqiak", "*.qikqiak.com")))
    secret["metadata"]["namespace"] = "shop"
    clean.kubectl("apply", "-f", "-", text=yaml.safe_dump_all([ingress, secret]))
    o.answered(clean, traffic.Route("edge", 443, "who.qikqiak.com", "shop", tls=True))
    o.answered(clean, traffic.Route("edge", 80, "shop.example.com", "shop"))


def test_ready_follows_the_pods(clean: Target) -> None:
    """A gateway whose pods can't be scheduled is not Ready, though its release is deployed."""
    name = "kubesphere-router-broken"
    clean.kubectl("apply", "-f", "-", text=o.gateway(name, values={"controller": {"nodeSelector": {"no": "node"}}}))
    clean.wait(
        "the release", lambda: o.conditions(clean, "ngx", f"{name}-ingress").get("Deployed", {}).get("status") == "True"
    )
    clean.wait("a word on its pods", lambda: "Ready" in o.conditions(clean, "mgw", name))
    time.sleep(5)
    condition = o.conditions(clean, "mgw", name)["Ready"]
    assert condition["status"] == "False"
    with pytest.raises(LabError):
        o.ready(clean, name, seconds=3)


def test_gateways_serve_on_without_the_operator(clean: Target) -> None:
    """With the operator scaled to nothing the gateways answer, also on new Ingresses."""
    o.project(clean, "shop")
    name = "kubesphere-router-all"
    clean.kubectl("apply", "-f", "-", text=o.gateway(name))
    o.ready(clean, name)
    clean.kubectl("scale", "deployment/gateway-operator", "-n", "gateway-system", "--replicas=0")
    try:
        o.answered(clean, o.route(clean, name, "shop"))
        o.project(clean, "blog")
        o.answered(clean, o.route(clean, name, "blog", tls=True))
    finally:
        clean.kubectl("scale", "deployment/gateway-operator", "-n", "gateway-system", "--replicas=2")
        clean.kubectl("rollout", "status", "deployment/gateway-operator", "-n", "gateway-system", "--timeout=300s")
