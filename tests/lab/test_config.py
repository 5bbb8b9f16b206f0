"""What the daemons are told, and which folder and pins things come from."""

from __future__ import annotations

import json
import ssl
import tomllib

import pytest

from lab import dns, tools
from lab.addresses import cluster_plans, lab_plan
from lab.errors import LabError
from lab.network import masquerade
from lab.node import cni_config, containerd_config, kubelet_config
from lab.paths import cache
from lab.pki import Authority


@pytest.fixture
def plans():
    """Two clusters of one lab."""
    return cluster_plans(lab_plan("demo", 0), ["centre", "wuhan"])


def test_containerd_keeps_to_its_folder(tmp_path, plans):
    """Nothing of a cluster's containerd lies where another's could."""
    config = tomllib.loads(containerd_config(tmp_path, plans[0]))
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    runc = cri["containerd"]["runtimes"]["runc"]["options"]
    for path in (config["root"], config["state"], config["grpc"]["address"], cri["cni"]["conf_dir"], runc["Root"]):
        assert path.startswith(str(tmp_path))
    assert cri["restrict_oom_score_adj"] is True


def test_kubelet_asks_its_own_dns_and_containerd(tmp_path, plans):
    """Pods get the cluster's DNS, and the kubelet its cluster's runtime and cgroup."""
    config = kubelet_config(tmp_path, plans[1])
    assert config["clusterDNS"] == [plans[1].dns_ip]
    assert config["cgroupRoot"] == "/gwlab-demo-wuhan"
    assert config["containerRuntimeEndpoint"] == f"unix://{tmp_path}/containerd.sock"


def test_pods_get_addresses_of_their_cluster(tmp_path, plans):
    """The pods' addresses are the first /24 of the cluster's range."""
    ipam = cni_config(tmp_path, plans[1])["plugins"][0]["ipam"]
    assert ipam["ranges"] == [[{"subnet": "10.211.0.0/24"}]]


def test_what_is_routed_keeps_its_address(plans):
    """In a flat network pods meet pods with their own addresses; in separate ones they have their node's."""
    assert "{ 10.210.0.0/20, 10.211.0.0/20 }" in masquerade(plans, plans[0])
    assert "{ 10.210.0.0/20 }" in masquerade(plans[:1], plans[0])


def test_dns_has_the_address_that_pods_ask(plans):
    """The DNS service has the address that the kubelet tells its pods."""
    items = map(json.loads, dns.manifest(plans[0].dns_ip).splitlines())
    [service] = [item for item in items if item["kind"] == "Service"]
    assert service["spec"]["clusterIP"] == plans[0].dns_ip


def test_certificates_belong_together(tmp_path):
    """A certificate and its key fit, and the authority vouches for it."""
    authority = Authority(tmp_path, "test")
    pair = authority.issue("server", "server", hosts=["localhost", "127.0.0.1"])
    context = ssl.create_default_context(cafile=str(authority.pair.cert))
    context.load_cert_chain(pair.cert, pair.key)
    assert pair.key.stat().st_mode & 0o077 == 0


def test_versions_come_from_the_pins():
    """A tool's version is the one its go.mod names."""
    assert tools.version("kubelet") == tools.version("kube-apiserver")
    assert tools.version("helm") == tools.version("helm4")
    assert tools.version("helm4").startswith("v4.")
    assert tools.version("helm3").startswith("v3.")


def test_unknown_tools_are_told():
    """A name that is no tool gives the names that are."""
    with pytest.raises(LabError, match="kube-apiserver"):
        tools.binary("kubernetes")


def test_users_own_binaries_are_preferred(tmp_path, monkeypatch):
    """Those who have envtest's programs need no build."""
    (tmp_path / "etcd").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert tools.binary("etcd") == tmp_path / "etcd"


def test_missing_go_is_told(tmp_path, monkeypatch):
    """Without Go the message says what is needed, and nothing half made is left."""
    monkeypatch.setenv("GATEWAY_LAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    with pytest.raises(LabError, match="needs Go"):
        tools.binary("etcd")
    assert not list((tmp_path / "bin").iterdir())


def test_the_cache_moves_with_the_environment(tmp_path, monkeypatch):
    """A variable of its own wins over XDG's."""
    monkeypatch.delenv("GATEWAY_LAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache() == tmp_path / "xdg" / "gateway-operator"
    monkeypatch.setenv("GATEWAY_LAB_CACHE", str(tmp_path / "own"))
    assert cache() == tmp_path / "own"
