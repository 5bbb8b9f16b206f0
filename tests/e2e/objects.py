"""Objects for the e2e tests, made from the demo's."""

from __future__ import annotations

import contextlib
from typing import Any

import yaml

from lab.demo import objects, traffic
from lab.demo.story import OPERATOR_NAMESPACE
from lab.demo.target import Target

WORKING = objects.WORKING_NAMESPACE


def gateway(name: str, *, namespace: str = WORKING, project: str | None = None, **spec: Any) -> str:
    """A Gateway; with `project`, one for that project alone."""
    if project:
        spec.setdefault("controller", {})["scope"] = {"enabled": True, "namespace": project}
    spec.setdefault("service", {"type": "NodePort"})
    return yaml.safe_dump(
        {
            "apiVersion": "gateway.kubesphere.io/v1alpha1",
            "kind": "Gateway",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
    )


def project(target: Target, name: str) -> str:
    """A project with its app, marked so that what a test puts in is removed after it."""
    target.kubectl("apply", "-f", "-", text=objects.app(name, target.app_image, replicas=1))
    target.kubectl("label", "namespace", name, "e2e=project", "--overwrite")
    target.kubectl("rollout", "status", f"deployment/{name}", "-n", name, "--timeout=300s")
    return name


def ready(target: Target, name: str, namespace: str = WORKING, seconds: int = 300) -> None:
    """Wait as a user does."""
    target.kubectl("wait", f"mgw/{name}", "-n", namespace, "--for=condition=Ready", f"--timeout={seconds}s")


def conditions(target: Target, kind: str, name: str, namespace: str = WORKING) -> dict[str, dict[str, Any]]:
    """The conditions of an object, by type."""
    status = target.get(kind, name, "-n", namespace).get("status", {})
    return {condition["type"]: condition for condition in status.get("conditions", [])}


def node_ports(target: Target, name: str, namespace: str = WORKING) -> dict[str, int]:
    """Node ports of a gateway's Service, by port name."""
    ports = target.get("service", name, "-n", namespace)["spec"]["ports"]
    return {port["name"]: port["nodePort"] for port in ports}


def route(
    target: Target, name: str, project_name: str, namespace: str = WORKING, *, tls: bool = False
) -> traffic.Route:
    """The way to a project's app through a gateway."""
    port = node_ports(target, name, namespace)["https" if tls else "http"]
    return traffic.Route(name, port, objects.HOSTS.get(project_name, f"{project_name}.example.com"), project_name, tls)


def answered(target: Target, way: traffic.Route, seconds: float = 240) -> None:
    """Wait until requests on a route are answered by the right app."""
    target.wait(f"{way.host} through {way.gateway}", lambda: traffic.answers(target.node_ip, way), seconds)


def events(target: Target, namespace: str, reason: str) -> list[str]:
    """Messages of the Events of a reason."""
    found = target.items("events", "-n", namespace)
    return [event["message"] for event in found if event["reason"] == reason]


def picture(target: Target, name: str, namespace: str = WORKING) -> dict[str, Any]:
    """What a gateway's users hold on to: identities, address and node ports of Service and Deployment."""
    service = target.get("service", name, "-n", namespace)
    return {
        "service": service["metadata"]["uid"],
        "clusterIP": service["spec"]["clusterIP"],
        "ports": node_ports(target, name, namespace),
        "deployment": target.get("deployment", name, "-n", namespace)["metadata"]["uid"],
    }


def revisions(target: Target, release: str, namespace: str = WORKING) -> dict[int, str]:
    """The revisions of a release and their states."""
    found = target.items("secret", "-n", namespace, "-l", f"owner=helm,name={release}")
    labels = [secret["metadata"]["labels"] for secret in found]
    return {int(label["version"]): label["status"] for label in labels}


def pods(target: Target, release: str, namespace: str = WORKING) -> list[dict[str, Any]]:
    """The pods of a release, those that are ending too."""
    return target.items("pods", "-n", namespace, "-l", f"app.kubernetes.io/instance={release}")


def uninstall_operator(target: Target) -> None:
    """Take the operator away, as a user does, and wait until its pods are gone."""
    target.helm("uninstall", "gateway-operator", "-n", OPERATOR_NAMESPACE, "--wait")
    target.wait("the operator's pods are gone", lambda: not target.items("pods", "-n", OPERATOR_NAMESPACE))


def remove_all(target: Target) -> None:
    """Remove what a test made; the apps of its projects stay, for the next one that wants them."""
    with contextlib.suppress(Exception):
        target.kubectl("delete", "mgw,ngx", "--all", "-A", "--timeout=300s")
    # a gateway that ends waits for its clients; the next test must neither find its pods nor wait for them, nor must a
    # namespace that goes
    ended = ("-l", "app.kubernetes.io/component=controller", "--grace-period=0", "--force", "--timeout=300s")
    target.kubectl("delete", "pods", "-A", *ended, check=False)
    target.kubectl("delete", "namespace", "-l", "e2e=own", "--wait=true", "--timeout=300s")
    projects = [found["metadata"]["name"] for found in target.items("namespaces", "-l", "e2e=project")]
    for name in projects:
        target.kubectl("delete", "ingress,secret", "--all", "-n", name)
    target.kubectl("delete", "configmap", "-A", "-l", "gateway.kubesphere.io/node-ports-of")
    for name in (*projects, WORKING):  # the next test must not find its Event there already
        target.kubectl("delete", "--raw", f"/api/v1/namespaces/{name}/events")  # at once: there may be thousands
