"""Pure parts of the commands: moves of ports, tables, and the doctor's rules that no test cluster can break."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway_operator.commands.doctor import cluster, crds, gateways, members, objects, rights
from gateway_operator.commands.doctor.findings import Severity, lasted
from gateway_operator.commands.doctor.pods import pod_troubles
from gateway_operator.commands.output import table
from gateway_operator.commands.plan import value_changes
from gateway_operator.commands.ports import moves


def service(**spec: Any) -> dict[str, Any]:
    port = {"name": "http", "port": 80, **spec.pop("port", {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "gw"}, "spec": {"ports": [port], **spec}}


def daemonset(**port: Any) -> dict[str, Any]:
    containers = [{"name": "nginx", "ports": [{"name": "http", "containerPort": 80, **port}]}]
    pod = {"template": {"spec": {"containers": containers}}}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "gw"}, "spec": pod}


LIVE = service(type="NodePort", clusterIP="10.0.0.1", port={"nodePort": 30080}, externalTrafficPolicy="Cluster")
CHOSEN = "(chosen by the cluster)"


@pytest.mark.parametrize(
    ("live", "wanted", "expected"),
    [
        ([LIVE], [service(type="NodePort")], []),
        ([LIVE], [service(type="LoadBalancer")], [("type", "NodePort", "LoadBalancer")]),
        ([LIVE], [service(type="NodePort", port={"nodePort": 30090})], [("port http nodePort", "30080", "30090")]),
        (
            [LIVE],
            [service(type="ClusterIP")],
            [
                ("type", "NodePort", "ClusterIP"),
                ("externalTrafficPolicy", "Cluster", ""),
                ("port http nodePort", "30080", ""),
            ],
        ),
        (
            [service(type="LoadBalancer", loadBalancerIP="192.0.2.1", port={"nodePort": 30080})],
            [service(type="LoadBalancer", loadBalancerClass="x/y")],
            [("loadBalancerIP", "192.0.2.1", ""), ("loadBalancerClass", "", "x/y")],
        ),
        ([], [service()], [("port http", "", "80/TCP"), ("type", "", "ClusterIP"), ("clusterIP", "", CHOSEN)]),
        ([daemonset(hostPort=80)], [daemonset(hostPort=8080)], [("hostPort http", "80/TCP", "8080/TCP")]),
        ([daemonset(hostPort=80)], [daemonset()], [("hostPort http", "80/TCP", "")]),
    ],
)
def test_kk4903_ports_and_addresses_that_would_change(live, wanted, expected):
    """What a chart leaves open stays; everything else that others depend on is shown."""
    assert [(move.what, move.old, move.new) for move in moves(live, wanted)] == expected


def test_values_are_compared_by_path_without_secrets():
    """Also where a values document has keys that objects have."""
    old, new = {"status": 1, "a": {"password": "x"}}, {"status": 2, "a": {"password": "y"}}
    found = {(c.pointer, c.old, c.new) for c in value_changes(old, new)}
    assert found == {("/status", 1, 2), ("/a/password", "***", "***")}


def test_a_table_has_columns_and_no_trailing_blanks():
    """Empty cells are dashes."""
    assert table(("A", "LONGER"), [("xx", ""), ("y", "z")]) == "A    LONGER\nxx   -\ny    z"


def crd(**more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "webs.a.example.com", **more.pop("metadata", {})},
        "spec": {"versions": [{"name": "v1", "served": True, "storage": True}], **more.pop("spec", {})},
        "status": more,
    }


@pytest.mark.parametrize(
    ("found", "severity", "words"),
    [
        (None, Severity.PROBLEM, "there is no CRD"),
        (crd(metadata={"deletionTimestamp": "x"}), Severity.PROBLEM, "being deleted"),
        (crd(conditions=[{"type": "Established", "status": "False", "message": "no"}]), Severity.PROBLEM, "not served"),
        (crd(spec={"versions": [{"name": "v2", "served": True, "storage": True}]}), Severity.PROBLEM, "serves v2"),
        (crd(storedVersions=["v1alpha1", "v1"]), Severity.WARNING, "stored as v1alpha1"),
    ],
)
def test_crds(found, severity, words):
    """What can be wrong with a CRD."""
    [finding] = crds.judge([crds.CrdFacts("Web", "a.example.com", "v1", found)])
    assert finding.severity is severity
    assert words in finding.meaning
    assert finding.remedy


def test_a_healthy_crd_and_one_that_is_adopted():
    """No finding, and an explanation."""
    assert crds.judge([crds.CrdFacts("Web", "a.example.com", "v1", crd(storedVersions=["v1"]))]) == []
    own = crds.CrdFacts("Gateway", "gateway.kubesphere.io", "v1", crd(), adopt=True)
    assert [f.severity for f in crds.judge([own])] == [Severity.INFO]


def test_kk4486_kk5489_versions_of_kubernetes():
    """Old ones are warned of, unreachable ones are problems."""
    assert cluster.judge(cluster.ClusterFacts("h", "v1.34.1")) == []
    assert [f.severity for f in cluster.judge(cluster.ClusterFacts("h", "v1.24.9"))] == [Severity.WARNING]
    assert [f.severity for f in cluster.judge(cluster.ClusterFacts("h", error="no"))] == [Severity.PROBLEM]


def test_last_words_of_a_crash_are_told_and_others_still_serve():
    """With a ready pod beside it a crash is a warning."""
    terminated = {"terminated": {"reason": "Error", "exitCode": 2}}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    status = {"name": "nginx", "restartCount": 9, "state": state, "lastState": terminated}
    meta = {"namespace": "ns", "name": "p"}
    pod = {"metadata": meta, "status": {"phase": "Running", "containerStatuses": [status]}}
    ready = {"metadata": meta, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    facts = gateways.PodFacts(pod, pod_troubles(pod), {"nginx": "one\ntwo"})
    deployment = {"kind": "Deployment", "metadata": {"name": "gw", "namespace": "ns"}, "spec": {"replicas": 2}}
    [alone] = gateways.judge(gateways.GatewaysFacts(workloads=[(deployment, [facts])]), now=0)
    assert alone.severity is Severity.PROBLEM
    assert "exit code 2; 9 restarts); its last 2 lines: one | two" in alone.meaning
    pair = [facts, gateways.PodFacts(ready, pod_troubles(ready))]
    [beside] = gateways.judge(gateways.GatewaysFacts(workloads=[(deployment, pair)]), now=0)
    assert beside.severity is Severity.WARNING
    [quota] = gateways.judge(gateways.GatewaysFacts(workloads=[(deployment, [])]), now=0)
    assert "no pod is ready of 2" in quota.meaning


def _said(type_: str, reason: str, text: str = "why") -> dict:
    return {"type": type_, "status": "False", "reason": reason, "message": text}


def test_members():
    """A member that can't be reached is one problem, one without a status is none; the remedy fits the reason."""
    conditions = [_said("Connected", "Unauthorized", "no"), _said("CredentialCurrent", "Unauthorized", "no")]
    bad = {"metadata": {"name": "wuhan"}, "status": {"conditions": conditions}}
    [finding] = members.judge([bad, {"metadata": {"name": "new"}}])
    assert "Unauthorized: no" in finding.meaning
    assert "join" in finding.remedy


def test_policies():
    """What keeps a policy from its gateway is a problem, a name that leads nowhere a warning, silence a warning."""
    accepted = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
    meta = {"name": "cafe", "namespace": "shop"}
    conditions = [accepted, _said("ResolvedRefs", "ClusterNotFound"), _said("Programmed", "NoGateway")]
    found = members.judge([], [{"metadata": meta, "status": {"conditions": conditions}}])
    assert [(f.severity, f.object) for f in found] == [
        (Severity.WARNING, "ClusterTrafficPolicy shop/cafe"),
        (Severity.PROBLEM, "ClusterTrafficPolicy shop/cafe"),
    ]
    assert "NoGateway: why" in found[1].meaning
    [unseen] = members.judge([], [{"metadata": meta}])
    assert unseen.severity is Severity.WARNING


def test_an_uninstall_that_takes_long():
    """While an operator runs, its message is the cause."""
    stamp = time.time() - 3600
    deleted = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp))
    meta = {
        "name": "a",
        "namespace": "n",
        "deletionTimestamp": deleted,
        "finalizers": ["gateway.kubesphere.io/helm-release"],
    }
    obj = {"metadata": meta, "status": {"message": "hook x fails"}}
    [finding] = objects.judge(objects.ObjectsFacts({"Gateway": [obj]}), now=stamp + 3600)
    assert "waiting for 60 min" in finding.meaning
    assert "hook x fails" in finding.meaning
    assert "force-release" in finding.remedy


def test_rights_that_cannot_be_asked_for():
    """It is said, and is no problem of the cluster."""
    [finding] = rights.judge([rights.RightsFacts("a:b:c:d", error="forbidden")])
    assert finding.severity is Severity.INFO


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (200, "3 min"), (7300, "2 h"), (200000, "2 d")])
def test_spans_of_time(seconds, text):
    """As people say them."""
    assert lasted(seconds) == text
