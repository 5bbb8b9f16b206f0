"""What the tests of charts/ingress-nginx share: names, and ways into a rendered release."""

from __future__ import annotations

from typing import Any

UPSTREAM: dict[str, Any] = {"image": {"repository": "registry.example/ingress-nginx/controller", "tag": "v1.15.1"}}
ALWAYS = {
    ("ConfigMap", "gw-ingress-nginx-controller"),
    ("Deployment", "gw-ingress-nginx-controller"),
    ("Service", "gw-ingress-nginx-controller"),
    ("ServiceAccount", "gw-ingress-nginx"),
    ("ClusterRole", "gw-ingress-nginx"),
    ("ClusterRoleBinding", "gw-ingress-nginx"),
    ("Role", "gw-ingress-nginx"),
    ("RoleBinding", "gw-ingress-nginx"),
    ("IngressClass", "nginx"),
}
NAME = "gw-ingress-nginx-controller"


def pod(rendered, kind="Deployment"):
    """Return the pod spec of the controller."""
    return rendered.one(kind, NAME)["spec"]["template"]["spec"]


def containers(rendered, kind="Deployment"):
    """Return the containers by name."""
    return {c["name"]: c for c in pod(rendered, kind)["containers"]}


def flags(rendered, container="controller"):
    """Return the flags of the controller."""
    return containers(rendered)[container]["args"][1:]


def controller(**values):
    """Make values of the section `controller`."""
    return {"controller": values}
