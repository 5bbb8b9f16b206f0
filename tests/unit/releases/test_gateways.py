"""Gateway and Nginx as the engine sees them: values, remarks and status."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from gateway_objects import SETTINGS, WORKING, gateway, project
from gateway_operator.gateways.claims import claim_of
from gateway_operator.gateways.naming import controller_value, nginx_name, service_name
from gateway_operator.names import RELEASE_NAME_LIMIT
from gateway_operator.releases.gateway_values import locked_values
from gateway_operator.releases.gateways import GatewayKind, NginxKind, register_kinds
from gateway_operator.releases.kinds import KINDS, LiveObjects
from gateway_operator.settings import GatewaySettings
from gateway_operator.traffic.gateways import Quarantined

SAMPLE = Path(__file__).resolve().parents[3] / "docs" / "samples" / "gateway.yaml"
IMAGE = GatewaySettings.model_validate({"repository": "r.example/gateway-operator", "tag": "v1"})


def plan(obj, peers=(), settings=SETTINGS, *, installed=False):
    """Plan a Gateway among its peers."""
    return GatewayKind().plan(obj, [obj, *peers], settings, installed=installed)


def nginx(spec=None, **more):
    """Make an Nginx."""
    return {
        "apiVersion": "gateway.kubesphere.io/v1alpha1",
        "kind": "Nginx",
        "metadata": {"name": "g-ingress", "namespace": "ns", **more},
        "spec": spec or {},
    }


def test_the_sample_becomes_a_cluster_gateway():
    """Seed 002's sample is served; the key that nginx doesn't know is only remarked on."""
    obj = yaml.safe_load(SAMPLE.read_text(encoding="utf-8"))
    obj["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    result = plan(obj)
    assert result.refusal is None
    assert result.release_name == "kubesphere-router-proj1"
    assert [n.reason for n in result.notices] == ["UnknownConfigKey"]
    assert result.values["controller"]["config"] == {"max-bucket": "1m"}
    assert result.values["fullnameOverride"] == "kubesphere-router-proj1"
    assert result.values["nginxName"] == "kubesphere-router-proj1-ingress"
    controller = result.values["locked"]["controller"]
    assert controller["ingressClassResource"] == {
        "name": "nginx",
        "enabled": True,
        "controllerValue": f"gateway.kubesphere.io/{WORKING}.kubesphere-router-proj1",
    }
    assert controller["watchIngressWithoutClass"] is True
    assert controller["scope"] == {"enabled": False, "namespace": ""}
    assert result.values["locked"]["rbac"] == {"scope": False}
    assert "image" not in controller


def test_a_project_gateway_gets_nothing_cluster_wide():
    """No IngressClass, only a Role, and Ingresses matched by the class's name."""
    locked = plan(project("p", "team", {"ingressClass": {"name": "web"}})).values["locked"]
    assert locked["rbac"] == {"scope": True}
    controller = locked["controller"]
    assert controller["scope"] == {"enabled": True, "namespace": "team"}
    assert controller["ingressClassResource"]["enabled"] is False
    assert (controller["ingressClass"], controller["ingressClassByName"]) == ("web", True)
    assert controller["watchIngressWithoutClass"] is True
    assert controller["statusExcludedNamespaces"] == []


def test_the_cluster_gateway_leaves_projects_with_a_gateway_their_status():
    """The namespaces are told in order, so that equal clusters give equal values."""
    peers = [project("p", "b", age=1, installed=True), project("q", "a", age=2, installed=True)]
    locked = plan(gateway("g", age=3), peers).values["locked"]
    assert locked["controller"]["statusExcludedNamespaces"] == ["a", "b"]


def test_r22_two_hundred_gateways_share_no_lease_and_no_controller_value():
    """Also where names are long and differ only at their ends."""
    objs = [gateway(f"{'n' * 240}-{number}", f"{'s' * 60}{number % 3}") for number in range(200)]
    claims = [claim_of(obj) for obj in objs]
    locked = [locked_values(claim, (), SETTINGS)["controller"] for claim in claims]
    leases = {(claim.namespace, values["electionID"]) for claim, values in zip(claims, locked, strict=True)}
    assert len(leases) == 200
    assert len({values["ingressClassResource"]["controllerValue"] for values in locked}) == 200
    assert all(len(values["electionID"]) <= 253 for values in locked)
    assert all(len(controller_value(claim)) <= 250 for claim in claims)


@pytest.mark.parametrize("name", ["g", "kubesphere-router-" + "p" * 63, "a.b.c", "9lives", "x" * 253])
def test_names_fit(name):
    """Releases take 53 characters, Services 63 with their suffixes, and Services start with a letter."""
    assert len(nginx_name(name)) <= RELEASE_NAME_LIMIT
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", service_name(name))
    assert len(service_name(name) + "-defaultbackend") <= 63


def test_names_stay_apart():
    """Names that look alike after cleaning are still two."""
    assert len({service_name("a.b"), service_name("a-b"), service_name("gw-a-b")}) == 3


def test_the_settings_replace_every_image_and_say_so():
    """Who chose another image is told; who chose none isn't."""
    chosen = gateway(
        "g",
        spec={"values": {"controller": {"image": {"repository": "x/controller", "tag": "v9", "digest": "sha256:0"}}}},
    )
    result = plan(chosen, settings=IMAGE)
    assert result.values["locked"]["controller"]["image"] == {
        "repository": "r.example/gateway-operator",
        "tag": "v1",
        "digest": "",
        "digestChroot": "",
        "chroot": False,
    }
    assert [n.message.split()[0] for n in result.notices] == [
        "spec.values.controller.image.repository",
        "spec.values.controller.image.tag",
    ]
    assert {n.reason for n in result.notices} == {"ValueOverridden"}
    assert plan(gateway("g"), settings=IMAGE).notices == ()


def test_values_that_the_operator_decides_are_told():
    """A lease of the user's own would break another gateway; it is replaced and named."""
    result = plan(gateway("g", spec={"values": {"controller": {"electionID": "mine", "replicaCount": 2}}}))
    assert [n.message.split()[0] for n in result.notices] == ["spec.values.controller.electionID"]


def test_a_scope_namespace_without_effect_is_told():
    """`enabled: false` with a namespace serves all, as in KubeSphere."""
    result = plan(gateway("g", spec={"controller": {"scope": {"enabled": False, "namespace": "team"}}}))
    assert [n.reason for n in result.notices] == ["FieldIgnored"]


def test_a_refused_gateway_still_has_a_release_name():
    """The engine asks for it to look whether something is installed."""
    result = plan(gateway("g", "team"))
    assert result.refusal is not None
    assert result.release_name == "g"


def test_an_nginx_is_its_values():
    """The spec goes to the chart unchanged, nulls included."""
    spec = {"controller": {"replicaCount": 2, "resources": None}}
    result = NginxKind().plan(nginx(spec), [], SETTINGS, installed=False)
    assert result.values == spec
    assert (result.refusal, result.notices) == (None, ())


def test_an_nginx_gets_the_settings_image():
    """On both kinds, as in KubeSphere; the one that a Gateway made has it already."""
    result = NginxKind().plan(nginx({"controller": {"image": {"tag": "v0"}}}), [], IMAGE, installed=False)
    assert result.values["controller"]["image"]["tag"] == "v1"
    assert [n.reason for n in result.notices] == ["ValueOverridden"]
    made = {"controller": {"image": dict(result.values["controller"]["image"])}}
    assert NginxKind().plan(nginx(made), [], IMAGE, installed=False).notices == ()


def test_an_nginx_with_a_bad_config_is_refused_unless_another_image_reads_it():
    """The same check as for Gateways; remarks are given once, on the Gateway."""
    bad = {"controller": {"config": {"keep-alive": "x", "max-bucket": "1"}}}
    refusal = NginxKind().plan(nginx(bad), [], SETTINGS, installed=False).refusal
    assert refusal is not None
    assert refusal.reason == "ConfigInvalid"
    bad["controller"]["dataPlane"] = "upstream"
    assert NginxKind().plan(nginx(bad), [], SETTINGS, installed=False).refusal is None
    unknown = {"controller": {"config": {"max-bucket": "1"}}}
    assert len(NginxKind().plan(nginx(unknown), [], SETTINGS, installed=False).notices) == 1
    made = nginx(unknown, annotations={"gateway.kubesphere.io/gateway": "g"})
    assert NginxKind().plan(made, [], SETTINGS, installed=False).notices == ()


def test_every_gateway_may_affect_its_peers():
    """An Nginx affects none."""
    assert GatewayKind().peers_affected(gateway("g"))
    assert not NginxKind().peers_affected(nginx())


def test_the_kinds_can_be_registered():
    """The operator makes them known at its start."""
    register_kinds()
    assert {kind for _, kind in KINDS} >= {"Gateway", "Nginx"}


LABELS = {"app.kubernetes.io/component": "controller"}


def workload(kind="Deployment", **spec):
    """Make a workload with two of three pods ready."""
    status = {"replicas": 3, "readyReplicas": 2, "currentNumberScheduled": 3, "numberReady": 2}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "g", "labels": LABELS},
        "spec": {"selector": {"matchLabels": {"b": "2", "a": "1"}}, **spec},
        "status": status,
    }


def service(type_, *, name="g", status=None, **spec):
    """Make the gateway's Service."""
    ports = [
        {"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"},
        {"name": "https", "port": 443, "nodePort": 30443, "protocol": "TCP"},
    ]
    if type_ == "ClusterIP":
        ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": LABELS},
        "spec": {"type": type_, "ports": ports, **spec},
        "status": status or {},
    }


def status_of(*objects, spec=None):
    """Return the status of an Nginx over live objects."""
    return NginxKind().status(nginx(spec), LiveObjects(tuple(objects)))


def test_kk5604_kk5695_status_of_a_load_balancer():
    """Addresses are IPs or host names; ports and pods are told."""
    ingress = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]}}
    status = status_of(workload(), service("LoadBalancer", status=ingress), service("ClusterIP", name="g-metrics"))
    assert status["addresses"] == ["192.0.2.1", "lb.example"]
    assert status["address"] == "192.0.2.1,lb.example"
    assert status["ports"][0] == {"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}
    assert (status["replicas"], status["readyReplicas"], status["selector"]) == (3, 2, "a=1,b=2")
    assert (status["scope"], status["ingressClass"]) == ("Cluster", "nginx")
    assert [(c["type"], c["status"]) for c in status["conditions"]] == [("AddressAssigned", "True")]


def test_kk5889_con2390_con2983_a_pending_load_balancer_is_a_condition_of_its_own():
    """It says what to do, and which ports work meanwhile; it doesn't keep Ready away."""
    status = status_of(workload(), service("LoadBalancer"))
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "LoadBalancerPending")
    assert "30080,30443" in condition["message"]
    assert "provider" in condition["message"]
    assert "blocksReady" not in condition
    assert (status["addresses"], status["address"]) == ([], "<pending>")


@pytest.mark.parametrize(
    ("type_", "spec", "address", "addresses"),
    [
        ("NodePort", {}, "NodePort 30080,30443", []),
        ("NodePort", {"externalIPs": ["192.0.2.9"]}, "192.0.2.9", ["192.0.2.9"]),
        ("ClusterIP", {"clusterIPs": ["10.0.0.1", "fd00::1"]}, "10.0.0.1,fd00::1", ["10.0.0.1", "fd00::1"]),
    ],
)
def test_status_of_other_services(type_, spec, address, addresses):
    """Node ports are the address where nodes aren't looked at."""
    status = status_of(workload(), service(type_, **spec))
    assert (status["address"], status["addresses"]) == (address, addresses)
    assert status["conditions"][0]["status"] == "True"


def test_status_on_the_nodes_own_network():
    """Without a Service the ports of the nodes are the address."""
    ports = [
        {"name": "http", "containerPort": 80},
        {"name": "https", "containerPort": 443},
        {"name": "metrics", "containerPort": 10254},
    ]
    pod = {"spec": {"hostNetwork": True, "containers": [{"ports": ports}]}}
    status = status_of(workload("DaemonSet", template=pod))
    assert status["address"] == "HostNetwork 80,443"
    assert (status["replicas"], status["readyReplicas"]) == (3, 2)
    nowhere = status_of(workload())
    assert nowhere["conditions"][0]["reason"] == "NoService"


def test_status_before_there_is_anything():
    """Nothing is known, and that is said."""
    assert status_of()["conditions"][0]["reason"] == "NotDeployed"
    status = GatewayKind().status(project("p", "team"), LiveObjects())
    assert (status["scope"], status["project"], status["ingressClass"]) == ("Project", "team", "nginx")
    assert status["conditions"][0]["status"] == "Unknown"


def test_a_gateway_tells_what_its_nginx_tells():
    """Scope and class are those that run, not those that were asked for last."""
    live = nginx({"controller": {"scope": {"enabled": True, "namespace": "team"}, "ingressClass": "web"}})
    live["status"] = status_of(workload(), service("NodePort")) | {"digest": "d", "message": "m"}
    status = GatewayKind().status(gateway("g"), LiveObjects((live,)))
    assert (status["scope"], status["project"], status["ingressClass"]) == ("Project", "team", "web")
    assert (status["address"], status["replicas"]) == ("NodePort 30080,30443", 3)
    assert [c["type"] for c in status["conditions"]] == ["AddressAssigned"]
    assert "digest" not in status


def test_whom_nginx_refuses_stays_said_while_no_pod_tells():
    """Without a word of a pod the last one stays, and a Gateway says what its Nginx does."""
    told = NginxKind(quarantines=lambda *_: Quarantined(1, (("shop/bad", "no size"),))).status(nginx(), LiveObjects())
    said = [c for c in told["conditions"] if c["type"] == "IngressesServed"]
    assert [(c["status"], c["reason"]) for c in said] == [("False", "IngressesLeftOut")]
    assert "shop/bad: no size" in said[0]["message"]
    silent = {**nginx(), "status": told}
    assert said[0] in NginxKind().status(silent, LiveObjects())["conditions"]
    assert said[0] in GatewayKind().status(gateway("g"), LiveObjects((silent,)))["conditions"]
    assert not [c for c in NginxKind().status(nginx(), LiveObjects())["conditions"] if c["type"] == "IngressesServed"]
