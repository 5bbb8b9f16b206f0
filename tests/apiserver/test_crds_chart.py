"""The charts on a real API server: it takes every object, and the operator has the rights to install them."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPERATOR = "system:serviceaccount:operator-system:op-gateway-operator"
SERVED_ELSEWHERE = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "Issuer", "Certificate"}


def rendered(helm: Path, chart: str, values: dict[str, Any], namespace: str, name: str = "op") -> str:
    """Render a chart."""
    command = [str(helm), "template", name, str(ROOT / "charts" / chart), "--namespace", namespace, "--values", "-"]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def cluster(api_cluster, helm_binary):
    """An API server with everything that charts/gateway-operator installs."""
    for name in ("operator-system", "kubesphere-controls-system", "team"):
        api_cluster.kubectl(
            "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        )
    text = rendered(helm_binary, "gateway-operator", {}, "operator-system")
    api_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)
    yield api_cluster
    api_cluster.kubectl("delete", "clusterrole,clusterrolebinding", "-l", "app.kubernetes.io/part-of=gateway-operator")
    api_cluster.kubectl("delete", "namespace", "operator-system", "team", "--wait=false")


VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "project": {
        "rbac": {"scope": True},
        "controller": {"scope": {"enabled": True, "namespace": "team"}, "ingressClassResource": {"enabled": False}},
    },
    "host": {"controller": {"kind": "DaemonSet", "hostNetwork": True, "reportNodeInternalIp": True}},
    "upstream": {"controller": {"image": {"repository": "x/controller"}, "admissionWebhooks": {"enabled": True}}},
    "upstream-project": {
        "rbac": {"scope": True},
        "controller": {"scope": {"enabled": True, "namespace": "team"}, "image": {"repository": "x/controller"}},
    },
    "everything": {
        "tcp": {"8080": "a/b:1"},
        "udp": {"53": "a/b:1"},
        "dhParam": "YWE=",
        "defaultBackend": {
            "enabled": True,
            "replicaCount": 2,
            "networkPolicy": {"enabled": True},
            "autoscaling": {"enabled": True},
        },
        "controller": {
            "replicaCount": 2,
            "autoscaling": {"enabled": True, "minReplicas": 2},
            "metrics": {"enabled": True},
            "networkPolicy": {"enabled": True},
            "addHeaders": {"X-A": "1"},
            "proxySetHeaders": {"X-B": "1"},
            "config": {"keep-alive": 75},
            "service": {
                "type": "NodePort",
                "internal": {"enabled": True, "type": "ClusterIP", "annotations": {"a": "b"}},
            },
        },
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_operator_may_install_what_its_charts_make(cluster, helm_binary, variant):
    """As the operator's own account: no object is invalid, and no role is refused as an escalation."""
    text = rendered(helm_binary, "ingress-nginx", VARIANTS[variant], "kubesphere-controls-system", name=f"gw-{variant}")
    done = cluster.kubectl("apply", "--server-side", f"--as={OPERATOR}", "-f", "-", input=text)
    assert done.count("serverside-applied") >= 8
    cluster.kubectl("delete", f"--as={OPERATOR}", "--wait=false", "-f", "-", input=text)


def test_nobody_gets_more_rights_through_the_operator(cluster):
    """The test above can fail: a role with one more right is refused."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "more"},
        "rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}],
    }
    with pytest.raises(subprocess.CalledProcessError):
        cluster.kubectl("apply", "--server-side", f"--as={OPERATOR}", "-f", "-", input=json.dumps(role))


def can(cluster, verb: str, resource: str, *, role: str) -> bool:
    """Ask whether the holder of a project role may do something in the project."""
    subject = f"user-{role}"
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": subject, "namespace": "team"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": subject, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(binding))
    try:
        return cluster.kubectl("auth", "can-i", verb, resource, "-n", "team", f"--as={subject}").strip() == "yes"
    except subprocess.CalledProcessError:
        return False


def test_view_edit_and_admin_are_aggregated(cluster):
    """The roles of the cluster have the new kinds; none of them may write an Nginx."""
    gateways, nginxes = "gateways.gateway.kubesphere.io", "nginxes.gateway.kubesphere.io"
    deadline = time.monotonic() + 120  # a controller of the cluster adds the rules within moments
    while not can(cluster, "create", gateways, role="admin"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for role, writes in (("view", False), ("edit", True), ("admin", True)):
        assert can(cluster, "list", gateways, role=role)
        assert can(cluster, "create", gateways, role=role) is writes
        assert can(cluster, "list", nginxes, role=role)
        assert not can(cluster, "create", nginxes, role=role)
