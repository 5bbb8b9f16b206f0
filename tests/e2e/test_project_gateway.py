"""One project's gateway: whom it serves, what it may do, and that its parts and pods come and go as they should."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.demo import traffic
from lab.demo.target import Target
from tests.e2e import objects as o

NAME = "kubesphere-router-shop"
RELEASE = f"{NAME}-ingress"


@pytest.fixture(scope="module")
def gateway(target: Target) -> Iterator[Target]:
    """The gateway of the project shop, with another project beside it; tests leave both as they are."""
    for name in ("shop", "blog"):
        o.project(target, name)
    target.kubectl("apply", "-f", "-", text=o.gateway(NAME, project="shop"))
    yield target
    o.remove_all(target)


@pytest.fixture
def served(gateway: Target) -> Target:
    """The gateway, with a pod that is ready; beside it may be some that an earlier test ended."""
    o.ready(gateway, NAME)
    gateway.kubectl("rollout", "status", f"deployment/{NAME}", "-n", o.WORKING, "--timeout=300s")
    return gateway


def test_project_gateway_serves_its_project_with_a_role_only(served: Target) -> None:
    """A project gateway answers for its project alone, and its ServiceAccount can read no other namespace."""
    o.answered(served, o.route(served, NAME, "shop"))
    assert not traffic.answers(served.node_ip, o.route(served, NAME, "blog"))
    pod = o.pods(served, RELEASE)[0]
    account = f"--as=system:serviceaccount:{o.WORKING}:{pod['spec']['serviceAccountName']}"
    for verb, what, namespace, allowed in (
        ("list", "secrets", "shop", "yes"),
        ("list", "secrets", "blog", "no"),
        ("list", "ingresses.networking.k8s.io", "blog", "no"),
        ("list", "ingressclasses.networking.k8s.io", "shop", "no"),
    ):
        answer = served.kubectl("auth", "can-i", verb, what, "-n", namespace, account, check=False).strip()
        assert answer.splitlines()[-1] == allowed, (verb, what, namespace)
    roles = served.items("clusterroles")
    assert not [role for role in roles if role["metadata"]["name"].startswith(NAME)]


def test_nginx_has_no_token_and_another_user(served: Target) -> None:
    """The container that runs nginx can't read the ServiceAccount's token."""

    def run(container: str, code: str) -> str:
        return served.kubectl(
            *("exec", "-n", o.WORKING, f"deploy/{NAME}", "-c", container, "--", "/opt/venv/bin/python", "-c", code)
        ).strip()

    token = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount/token'), os.getuid())"
    assert run("nginx", token) == "False 101"
    assert run("controller", token) == "True 10001"


def _started(target: Target, known: list[str]) -> list[str]:
    """The gateway's pods, but for the known ones, in which a container has begun to run."""
    found = {pod["metadata"]["name"]: pod["status"].get("containerStatuses", []) for pod in o.pods(target, RELEASE)}
    return [
        name for name, states in found.items() if name not in known and any("running" in s["state"] for s in states)
    ]


def test_a_pod_that_is_told_to_end_while_it_starts_does_so(served: Target) -> None:
    """A TERM before the programs listen for it isn't lost: the pod doesn't wait until its 300 seconds have passed."""
    ended = [pod["metadata"]["name"] for pod in o.pods(served, RELEASE)]
    served.kubectl("delete", "pod", *ended, "-n", o.WORKING, "--wait=false", "--ignore-not-found")
    for _ in range(3):  # each starts while the ones before end
        served.wait("a container runs", lambda: bool(_started(served, ended)))
        ended.append(_started(served, ended)[0])
        served.kubectl("delete", "pod", ended[-1], "-n", o.WORKING, "--wait=false")
    served.kubectl("wait", "--for=delete", *(f"pod/{pod}" for pod in ended), "-n", o.WORKING, "--timeout=200s")


def test_deleted_and_edited_parts_come_back(served: Target) -> None:
    """A deleted Deployment, an edited Service and a changed ConfigMap are what they were, and an Event says so."""
    old = served.get("deployment", NAME, "-n", o.WORKING)["metadata"]["uid"]
    served.kubectl("delete", "deployment", NAME, "-n", o.WORKING)
    served.wait(
        "the Deployment",
        lambda: served.get("deployment", NAME, "-n", o.WORKING).get("metadata", {}).get("uid") not in {None, old},
    )
    served.kubectl("patch", "service", NAME, "-n", o.WORKING, "--type=merge", "-p", '{"spec":{"selector":{"x":"y"}}}')
    served.kubectl("scale", "deployment", NAME, "-n", o.WORKING, "--replicas=3")
    served.wait("replicas", lambda: served.get("deployment", NAME, "-n", o.WORKING)["spec"]["replicas"] == 1)
    o.ready(served, NAME)
    o.answered(served, o.route(served, NAME, "shop"))
    served.wait("the Event", lambda: bool(o.events(served, o.WORKING, "DriftCorrected")))
