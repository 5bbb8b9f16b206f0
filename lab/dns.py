"""The cluster's DNS: CoreDNS as a Deployment, answering for services and pods of its own cluster only.

It forwards nowhere, because a lab must not depend on the names of the outside world.
"""

from typing import Any

from lab import tools
from lab.control import documents

NAMESPACE = "kube-system"
LABELS = {"k8s-app": "kube-dns"}
COREFILE = """\
.:53 {
    errors
    health :8080 {
        lameduck 1s
    }
    ready :8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }
    cache 5
    reload
}
"""


def image_name() -> str:
    """The image that the Deployment uses."""
    return f"localhost/coredns:{tools.version('coredns')}"


def manifest(dns_ip: str) -> str:
    """All objects of the cluster DNS, as JSON documents."""
    items = [
        _object("v1", "ServiceAccount"),
        _object("v1", "ConfigMap", data={"Corefile": COREFILE}),
        _object("rbac.authorization.k8s.io/v1", "ClusterRole", rules=_rules()),
        _object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", **_binding()),
        _object("apps/v1", "Deployment", spec=_deployment()),
        _object("v1", "Service", name="kube-dns", spec=_service(dns_ip)),
    ]
    return documents(items)


def _object(api: str, kind: str, *, name: str = "coredns", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": LABELS}
    if not kind.startswith("Cluster"):
        metadata["namespace"] = NAMESPACE
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def _rules() -> list[dict[str, list[str]]]:
    verbs = ["list", "watch"]
    return [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": verbs},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
    ]


def _binding() -> dict[str, Any]:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "coredns"}
    return {"roleRef": role, "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": NAMESPACE}]}


def _deployment() -> dict[str, Any]:
    container = {
        "name": "coredns",
        "image": image_name(),
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    pod = {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 2,
    }
    return {
        "replicas": 1,
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": pod},
    }


def _service(dns_ip: str) -> dict[str, Any]:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    return {"clusterIP": dns_ip, "selector": LABELS, "ports": ports}
