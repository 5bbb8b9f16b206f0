"""The large lab: pods run, reach each other as the network says, and nothing stays behind."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from lab import cleanup
from lab.cluster import Lab
from lab.process import wait_for

pytestmark = pytest.mark.e2e

NAME = "labtest"
MANIFEST = (Path(__file__).parent / "echo.yaml").read_text()
NODE_PORT = 30080


@pytest.fixture(scope="module", params=["flat", pytest.param("separate", marks=pytest.mark.long)])
def lab(request):
    """Two clusters with an echo application in each."""
    if old := Lab.find(NAME):
        old.down()
    found = Lab.up(["centre", "wuhan"], request.param, NAME)
    try:
        for cluster in found:
            cluster.kubectl("apply", "-f", "-", input=MANIFEST)
        for cluster in found:
            cluster.kubectl("rollout", "status", "deployment/echo", "--timeout=180s")
            wait_for("the node port's rules", lambda one=cluster: answers(one), seconds=120)
        yield found
    finally:
        found.down()
    assert_nothing_left(found)


def answers(cluster):
    """Whether the node port works by now: rules follow readiness with a second's delay."""
    try:
        with urllib.request.urlopen(f"http://{cluster.node_ip}:{NODE_PORT}/", timeout=2):
            return True
    except OSError:
        return False


def ask(cluster, url):
    """What a pod of a cluster gets from a URL."""
    return json.loads(cluster.kubectl("exec", "deployment/echo", "--", "/app", "get", url))


def assert_nothing_left(lab):
    """No trace of the lab is on the machine."""
    for cluster in lab:
        assert not list(cleanup.cgroup_pids(cluster.plan.id))
        assert not list(cleanup.folder_pids(cluster.directory))
        assert not cleanup.mounts(cluster.directory)
        assert not cluster.directory.exists()
        assert not list(Path("/sys/fs/cgroup").glob(f"*/{cluster.plan.id}"))
        assert not list(cleanup.CNI_RESULTS.glob(f"{cluster.plan.id}-*"))
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    assert lab.plan.bridge not in links
    namespaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert f"gwlab-{NAME}-" not in namespaces


def test_the_host_reaches_node_ports(lab):
    """A node port answers at the node's address."""
    for cluster in lab:
        with urllib.request.urlopen(f"http://{cluster.node_ip}:{NODE_PORT}/hello", timeout=10) as answer:
            assert json.load(answer)["path"] == "/hello"


def test_names_resolve_in_pods(lab):
    """A service is found by its name and reached at its virtual address."""
    assert ask(lab["centre"], "http://echo.default.svc.cluster.local/x")["namespace"] == "default"
    assert ask(lab["wuhan"], "http://echo/")["host"] == "echo"


def test_logs_reach_kubectl(lab):
    """The API server reaches the kubelet."""
    assert "listening" in lab["centre"].kubectl("logs", "deployment/echo")


def test_pods_meet_only_in_a_flat_network(lab):
    """Pod addresses of another cluster answer in a flat network and nowhere else; node ports do in both."""
    address = lab["wuhan"].kubectl("get", "pod", "-l", "app=echo", "-o", "jsonpath={.items[0].status.podIP}")
    if lab.network == "flat":
        own = lab["centre"].kubectl("get", "pod", "-l", "app=echo", "-o", "jsonpath={.items[*].status.podIP}")
        assert ask(lab["centre"], f"http://{address}:8080/")["remote"].rpartition(":")[0] in own.split()
    else:
        with pytest.raises(subprocess.CalledProcessError):
            ask(lab["centre"], f"http://{address}:8080/")
    assert ask(lab["centre"], f"http://{lab['wuhan'].node_ip}:{NODE_PORT}/")["namespace"] == "default"


@pytest.mark.parametrize("lab", ["flat"], indirect=True)
def test_cuts_are_silent_and_heal(lab):
    """The API server alone, the pods alone, or everything of a cluster: what is cut doesn't answer, the rest does."""
    cluster = lab["wuhan"]
    address = cluster.kubectl("get", "pod", "-l", "app=echo", "-o", "jsonpath={.items[0].status.podIP}")

    def seen():
        try:
            ask(lab["centre"], f"http://{address}:8080/")
        except subprocess.CalledProcessError:
            return cluster.control.ready(), False
        return cluster.control.ready(), True

    try:
        for what, left in (("api", (False, True)), ("pods", (True, False)), ("all", (False, False))):
            cluster.cut(what)
            assert seen() == left
    finally:
        cluster.heal()
    assert seen() == (True, True)


@pytest.mark.parametrize("lab", ["flat", pytest.param("separate", marks=pytest.mark.long)], indirect=True)
def test_up_keeps_the_healthy_and_replaces_the_broken(lab):
    """A second `up` after crashes makes the broken cluster anew and leaves the other alone."""
    kept = lab["wuhan"].daemons.pid("kubelet")
    for name in ("kubelet", "containerd", "kube-apiserver"):
        pid = lab["centre"].daemons.pid(name)
        subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(pid)], check=True)
    wait_for("its end", lambda: bool(lab["centre"].problems()), seconds=60)
    again = Lab.up(["centre", "wuhan"], lab.network, NAME)
    assert again["wuhan"].daemons.pid("kubelet") == kept
    assert again["centre"].healthy()
    again["centre"].kubectl("apply", "-f", "-", input=MANIFEST)
    again["centre"].kubectl("rollout", "status", "deployment/echo", "--timeout=180s")
    wait_for("the node port's rules", lambda: answers(again["centre"]), seconds=120)  # other tests ask next
