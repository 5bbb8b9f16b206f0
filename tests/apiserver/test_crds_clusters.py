"""ClusterTrafficPolicy and MemberCluster on a real API server: what it takes, and in which words it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusters_lab import prepare
from gateway_operator.clusters.policies import read
from gateway_operator.crds.member import NAME_MESSAGE, SOURCE_MESSAGE
from gateway_operator.crds.policy import KEY_MESSAGE, PORT_MESSAGE, WEIGHT_MESSAGE
from gateway_operator.errors import Invalid
from gateway_operator.kube import Api
from lab.apiserver import ApiCluster

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "docs" / "samples" / "clustertrafficpolicy.yaml"


@pytest.fixture(scope="module")
def cluster(api_cluster) -> Iterator[ApiCluster]:
    """An API server with the CRDs; what is made goes."""
    prepare(api_cluster)
    yield api_cluster
    api_cluster.kubectl("delete", "mcl", "--all")


def test_the_sample_applies_unchanged(cluster, namespace):
    """Seed 000's case: stored as it is written, and shown."""
    cluster.kubectl("apply", "-f", str(SAMPLE))
    stored = json.loads(cluster.kubectl("get", "ctp", "cafe", "-n", "default", "-o", "json"))
    assert stored["spec"] == yaml.safe_load(SAMPLE.read_text())["spec"]
    assert read(stored).problems == ()
    head = cluster.kubectl("get", "ctp", "-n", "default").splitlines()[0].split()
    assert head == ["NAME", "CLASS", "ACCEPTED", "PROGRAMMED", "READY", "AGE"]
    cluster.kubectl("delete", "ctp", "cafe", "-n", "default")


def policy(namespace: str, path: dict[str, Any] | None = None, host: str = "a.example.com", **backend: Any) -> dict:
    """Write a policy with one path, good but for what is given."""
    full = {"service": {"name": "tea", "port": {"number": 80}}, **backend}
    rule = {"host": host, "http": {"paths": [{"path": "/tea", "backend": full, **(path or {})}]}}
    meta = {"name": "p", "namespace": namespace}
    return {
        "apiVersion": "k8s.nginx.org/v1",
        "kind": "ClusterTrafficPolicy",
        "metadata": meta,
        "spec": {"rules": [rule]},
    }


def port(**given: Any) -> dict[str, Any]:
    """Write a service with this port."""
    return {"name": "tea", "port": given}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"service": port(name="http", number=80)}, PORT_MESSAGE),
    ({"service": port()}, PORT_MESSAGE),
    ({"service": port(number=65536)}, "should be less than or equal to 65535"),
    ({"service": {"name": "Tea"}}, "service.name: Invalid value"),
    ({"service": {"name": "tea", "namespace": "a/b"}}, "service.namespace: Invalid value"),
    ({"clusterTrafficPolicy": [{"name": "a", "weight": 1}, {"name": "b"}]}, WEIGHT_MESSAGE),
    ({"clusterTrafficPolicy": [{"name": "a"}, {"name": "a"}]}, "clusterTrafficPolicy[1]: Duplicate value"),
    ({"clusterTrafficPolicy": [{"name": "a", "weight": -1}]}, "weight: Invalid value"),
    ({"clusterTrafficPolicy": [{"name": "a", "weight": 10001}]}, "weight: Invalid value"),
    ({"clusterTrafficPolicy": [{"name": "a", "weight": 1.5}]}, "weight: Invalid value"),
    ({"clusterTrafficPolicy": [{"name": "a", "priority": 16}]}, "priority: Invalid value"),
    ({"splitKey": {"type": "Header"}}, KEY_MESSAGE),
    ({"splitKey": {"type": "ClientIP", "name": "x"}}, KEY_MESSAGE),
    ({"splitKey": {"type": "Cookie", "name": "a;b"}}, "splitKey.name: Invalid value"),
    ({"onEmpty": "Panic"}, 'supported values: "Redistribute", "Fail"'),
    ({"locality": "Near"}, 'supported values: "Any", "LocalFirst"'),
    ({"minReadyRatio": 101}, "minReadyRatio: Invalid value"),
    ({"sticky": {"cookie": "a b"}}, "sticky.cookie: Invalid value"),
    ({"path": {"pathType": "Regex"}}, 'supported values: "Exact", "Prefix", "ImplementationSpecific"'),
    *(
        ({"path": {"path": text}}, "path: Invalid value")
        for text in ("tea", "/a;b", "/a b", "/a\n", '/"', "/$x", "/#", "/{")
    ),
    *(({"host": text}, "host: Invalid value") for text in ("a:80", "a b", "*", "x;", "a\n", "*.*.com")),
]


@pytest.mark.parametrize(("change", "message"), BAD)
async def test_bad_policies_are_refused(cluster, api: Api, namespace, change, message):
    """The same words as in the operator's own check, which reads what was stored under other rules."""
    obj = policy(namespace, **change)
    with pytest.raises(Invalid) as caught:
        await api.create(await api.resource("k8s.nginx.org/v1", "ClusterTrafficPolicy"), obj)
    assert message in str(caught.value)
    assert read(obj).problems or change.get("clusterTrafficPolicy", [{}])[0].get("weight") == 1.5


async def test_good_policies_are_taken(cluster, api: Api, namespace):
    """Everything that may be said at once, and what Go programs write for nothing."""
    resource = await api.resource("k8s.nginx.org/v1", "ClusterTrafficPolicy")
    full = policy(
        namespace,
        path={"pathType": "Exact"},
        host="*.Example.com",
        clusterTrafficPolicy=[{"name": "a", "weight": 0, "priority": 15}, {"name": "b", "weight": 10000}],
        splitKey={"type": "Cookie", "name": "session"},
        locality="LocalFirst",
        onEmpty="Fail",
        minReadyRatio=70,
        sticky={"cookie": "at", "maxAgeSeconds": 60},
    )
    empty = policy(namespace, host="", path={"path": ""}, service=port(name="", number=80) | {"namespace": ""})
    for number, obj in enumerate((full, empty, policy(namespace) | {"spec": {}})):
        obj["metadata"]["name"] = f"p{number}"
        stored = await api.create(resource, obj)
        assert stored["spec"] == obj["spec"]
        assert read(stored).problems == ()


async def test_the_largest_policy_is_within_the_cost_of_its_rules(cluster, api: Api, namespace):
    """As many clusters, paths and rules as fit."""
    clusters = [{"name": f"cluster-{n}", "weight": n} for n in range(32)]
    obj = policy(namespace, clusterTrafficPolicy=clusters)
    paths = obj["spec"]["rules"][0]["http"]["paths"]
    obj["spec"]["rules"][0]["http"]["paths"] = [paths[0] | {"path": f"/{n}"} for n in range(64)]
    await api.create(await api.resource("k8s.nginx.org/v1", "ClusterTrafficPolicy"), obj)
    obj["spec"]["rules"][0]["http"]["paths"] = [paths[0]] * 65
    with pytest.raises(Invalid, match="must have at most 64 items"):
        await api.create(await api.resource("k8s.nginx.org/v1", "ClusterTrafficPolicy"), obj)


def member(name: str = "m", **spec: Any) -> dict[str, Any]:
    """Write a member."""
    return {"apiVersion": "k8s.nginx.org/v1", "kind": "MemberCluster", "metadata": {"name": name}, "spec": spec}


REF = {"kubeconfigSecretRef": {"name": "s"}}


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (member(), SOURCE_MESSAGE),
        (member(local=True, **REF), SOURCE_MESSAGE),
        (member(local=False), SOURCE_MESSAGE),
        (member("a.b", **REF), NAME_MESSAGE),
        (member("m" * 64, **REF), NAME_MESSAGE),
        (member(kubeconfigSecretRef={"name": "../s"}), "kubeconfigSecretRef.name: Invalid value"),
        (member(kubeconfigSecretRef={}), "kubeconfigSecretRef.name: Required value"),
        (member(staleTTL="soon", **REF), "staleTTL: Invalid value"),
        (member(region="a b", **REF), "region: Invalid value"),
    ],
)
async def test_bad_members_are_refused(cluster, api: Api, obj, message):
    """One credential, one name that fits a label."""
    with pytest.raises(Invalid) as caught:
        await api.create(await api.resource("k8s.nginx.org/v1", "MemberCluster"), obj)
    assert message in str(caught.value)


async def test_good_members_are_taken(cluster, api: Api):
    """Cluster-scoped, with their columns."""
    resource = await api.resource("k8s.nginx.org/v1", "MemberCluster")
    assert not resource.namespaced
    await api.create(resource, member("centre", local=True, region="south"))
    await api.create(
        resource, member("full", **REF, staleTTL="1h30m", insecureSkipTLSVerify=True, zone="a", context="x")
    )
    head = cluster.kubectl("get", "mcl").splitlines()[0].split()
    assert head == ["NAME", "CONNECTED", "VERSION", "REGION", "ENDPOINTS", "STALE", "AGE"]
