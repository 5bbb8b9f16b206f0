"""The small lab: a real API server in seconds, with the controllers that tests rely on."""

from __future__ import annotations

import subprocess

import pytest

from lab import tools
from lab.apiserver import ApiCluster
from lab.control import BASE_TOOLS
from lab.process import wait_for


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One cluster for all tests of this file."""
    tools.binaries(BASE_TOOLS)
    found = ApiCluster.start(tmp_path_factory.mktemp("lab"))
    yield found
    found.stop()


def succeeds(cluster, *args):
    """Whether a kubectl command works by now."""
    try:
        cluster.kubectl(*args)
    except subprocess.CalledProcessError:
        return False
    return True


def test_errors_have_kubectls_words(cluster):
    """A failed command says why."""
    with pytest.raises(subprocess.CalledProcessError, match="not found"):
        cluster.kubectl("get", "configmap", "absent")


def test_namespaces_get_accounts_and_go(cluster):
    """A namespace has a service account whose tokens work, and it can be deleted."""
    cluster.kubectl("create", "namespace", "passing")
    wait_for("a token", lambda: succeeds(cluster, "create", "token", "default", "-n", "passing"), seconds=30)
    token = cluster.kubectl("create", "token", "default", "-n", "passing").strip()
    who = cluster.kubectl("--token", token, "--client-certificate=", "--client-key=", "auth", "whoami")
    assert "system:" in who
    cluster.kubectl("delete", "namespace", "passing", "--timeout=60s")
    assert "passing" not in cluster.kubectl("get", "namespaces", "-o", "name")


def test_owned_objects_are_collected(cluster):
    """Who goes takes along what it owns."""
    cluster.kubectl("create", "configmap", "owner")
    uid = cluster.kubectl("get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}")
    owned = f"""
apiVersion: v1
kind: ConfigMap
metadata:
  name: owned
  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]
"""
    cluster.kubectl("apply", "-f", "-", input=owned)
    cluster.kubectl("delete", "configmap", "owner")
    wait_for("the collector", lambda: not succeeds(cluster, "get", "configmap", "owned"), seconds=60)


def test_the_api_server_comes_back(cluster):
    """After a kill it has the same address and the same data."""
    cluster.kubectl("create", "configmap", "kept")
    cluster.kill_apiserver()
    assert not succeeds(cluster, "get", "configmap", "kept", "--request-timeout=2s")
    cluster.start_apiserver()
    assert succeeds(cluster, "get", "configmap", "kept")


def test_a_start_ends_what_a_crash_left(tmp_path):
    """Starting in the folder of a run that nobody stopped replaces it."""
    first = ApiCluster.start(tmp_path)
    pid = first.control.daemons.pid("kube-apiserver")
    second = ApiCluster.start(tmp_path)
    try:
        assert second.control.daemons.pid("kube-apiserver") != pid
        assert second.url != first.url
        assert ApiCluster.find(tmp_path) is not None
    finally:
        second.stop()
    assert ApiCluster.find(tmp_path) is None
