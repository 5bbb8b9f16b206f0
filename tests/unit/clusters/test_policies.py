"""What a policy may say, and the words for what it may not: the object's field, the reason, and what would be right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.clusters.conflicts import settle
from gateway_operator.clusters.policies import Entry, Policy, Port, Service, read

ROOT = Path(__file__).resolve().parents[3]


def obj(
    spec: dict[str, Any], name: str = "cafe", namespace: str = "shop", created: str = "2026-01-01T00:00:00Z"
) -> dict:
    meta = {"name": name, "namespace": namespace, "creationTimestamp": created, "uid": f"{namespace}-{name}"}
    return {"metadata": meta, "spec": spec}


def backend(**rest: Any) -> dict[str, Any]:
    return {"service": {"name": "tea", "port": {"number": 80}}, **rest}


def rules(*paths: dict[str, Any], host: str = "cafe.example.com") -> dict[str, Any]:
    return {"rules": [{"host": host, "http": {"paths": list(paths)}}]}


def only(spec: dict[str, Any]) -> tuple[str, str, Policy]:
    """Return field and reason of the one problem."""
    policy = read(obj(spec))
    assert len(policy.problems) == 1, policy.problems
    return policy.problems[0].field, str(policy.problems[0].reason), policy


def test_the_sample():
    """The seed's case reads as it is meant."""
    sample = yaml.safe_load((ROOT / "docs" / "samples" / "clustertrafficpolicy.yaml").read_text())
    policy = read(sample)
    assert policy.problems == ()
    tea, default = policy.paths
    assert (tea.host, tea.path, tea.path_type) == ("cafe.example.com", "/tea", "Prefix")
    assert tea.backend.service == Service("default", "tea-svc", Port(number=80))
    assert tea.backend.entries == (Entry("wuhan", 80), Entry("zhuhai", 20))
    assert (default.host, default.path_type) == ("", "Default")
    assert default.backend.service.port == Port(name="http")


BAD = [
    ({"clusterTrafficPolicy": [{"name": "a", "weight": 1}, {"name": "b"}]}, ".clusterTrafficPolicy", "InvalidWeight"),
    ({"clusterTrafficPolicy": [{"name": "a", "weight": -1}]}, ".clusterTrafficPolicy[0].weight", "InvalidWeight"),
    ({"clusterTrafficPolicy": [{"name": "a", "weight": 10001}]}, ".clusterTrafficPolicy[0].weight", "InvalidWeight"),
    ({"clusterTrafficPolicy": [{"name": "a"}, {"name": "a"}]}, ".clusterTrafficPolicy[1].name", "DuplicateCluster"),
    ({"clusterTrafficPolicy": [{"name": "a;b"}]}, ".clusterTrafficPolicy[0].name", "InvalidBackend"),
    ({"clusterTrafficPolicy": [{"name": "a", "priority": 16}]}, ".clusterTrafficPolicy[0].priority", "InvalidOption"),
    ({"service": {"name": "tea", "port": {"number": 80, "name": "http"}}}, ".service.port", "InvalidPort"),
    ({"service": {"name": "tea", "port": {}}}, ".service.port", "InvalidPort"),
    ({"service": {"name": "tea"}}, ".service.port", "InvalidPort"),
    ({"service": {"name": "tea", "port": {"number": 70000}}}, ".service.port.number", "InvalidPort"),
    ({"service": {"name": "Tea", "port": {"number": 1}}}, ".service.name", "InvalidBackend"),
    ({"service": None}, ".service.name", "InvalidBackend"),
    ({"splitKey": {"type": "Header"}}, ".splitKey.name", "InvalidSplitKey"),
    ({"splitKey": {"type": "Request", "name": "x"}}, ".splitKey.name", "InvalidSplitKey"),
    ({"splitKey": {"type": "Cookie", "name": "a b"}}, ".splitKey.name", "InvalidSplitKey"),
    ({"splitKey": {"type": "Moon"}}, ".splitKey.type", "InvalidSplitKey"),
    ({"onEmpty": "Panic"}, ".onEmpty", "InvalidOption"),
    ({"locality": "Here"}, ".locality", "InvalidOption"),
    ({"minReadyRatio": 101}, ".minReadyRatio", "InvalidOption"),
    ({"sticky": {"cookie": "a;b"}}, ".sticky.cookie", "InvalidSplitKey"),
]


@pytest.mark.parametrize(("change", "field", "reason"), BAD)
def test_a_bad_backend_answers_503_and_says_why(change, field, reason):
    """The path stays, so that no other rule answers in its place."""
    where, why, policy = only(rules({"path": "/tea", "backend": backend(**change)}))
    assert (where, why) == (f"spec.rules[0].http.paths[0].backend{field}", reason)
    assert policy.paths[0].backend is None


@pytest.mark.parametrize("host", ["a.example.com:80", "a b", "*", "a.*.com", "x;y", "a..b", "-a", 'a"', "a\n", "é.com"])
def test_hosts_that_are_none(host):
    """A port, wildcards in other places and foreign characters are refused."""
    where, why, policy = only(rules({"backend": backend()}, host=host))
    assert (where, why, policy.paths) == ("spec.rules[0].host", "InvalidHost", ())


@pytest.mark.parametrize(
    ("host", "known"), [("", ""), ("*.Example.com", "*.example.com"), ("CAFE.example.com", "cafe.example.com")]
)
def test_hosts(host, known):
    """Empty is every other host, one left label may be a wildcard, case doesn't matter."""
    assert read(obj(rules({"backend": backend()}, host=host))).paths[0].host == known


@pytest.mark.parametrize(
    "path", ["tea", "/a;b", "/a{", "/a}", '/a"', "/a\\", "/$a", "/#", "/a b", "/a\n", "/a\t", "/a?b"]
)
def test_paths_that_are_none(path):
    """What could end a directive, and what no path has."""
    where, why, policy = only(rules({"path": path, "backend": backend()}))
    assert (where, why, policy.paths) == ("spec.rules[0].http.paths[0].path", "InvalidPath", ())


def test_path_types():
    """Absent is Prefix, an absent path is the root; an unknown type is refused."""
    path = read(obj(rules({"backend": backend()}))).paths[0]
    assert (path.path, path.path_type) == ("/", "Prefix")
    assert read(obj(rules({"pathType": "ImplementationSpecific", "backend": backend()}))).paths[0].path_type
    assert only(rules({"pathType": "Regex", "backend": backend()}))[1] == "InvalidPath"


def test_a_place_twice_in_one_policy():
    """The first wins, the second is told its index."""
    twice = rules({"path": "/tea", "backend": backend()}, {"path": "/tea", "pathType": "Prefix", "backend": backend()})
    where, why, policy = only(twice)
    assert (where, why) == ("spec.rules[0].http.paths[1].path", "Conflicted")
    assert "spec.rules[0].http.paths[0]" in str(policy.problems[0])
    assert len(policy.paths) == 1


def test_another_namespace_needs_a_grant():
    """The default is the policy's own namespace; a grant is asked for by both names."""
    service = {"name": "tea", "namespace": "other", "port": {"number": 80}}
    spec = rules({"backend": {"service": service}})
    where, why, policy = only(spec)
    assert (where, why) == ("spec.rules[0].http.paths[0].backend.service.namespace", "RefNotPermitted")
    assert policy.problems[0].condition == "ResolvedRefs"
    granted = read(obj(spec), lambda of, to: (of, to) == ("shop", "other"))
    assert granted.paths[0].backend.service.namespace == "other"


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_nothing_that_a_user_writes_passes_unchecked(host, path, name):
    """Fuzzed names, hosts and paths: refused, or free of all that could end a directive."""
    spec = rules({"path": path, "backend": backend(service={"name": name, "port": {"number": 80}})}, host=host)
    for rule in read(obj(spec)).paths:
        assert not set(';{}"\\$# \n\r\t') & set(rule.host + rule.path)
        assert rule.backend is None or not set(';{}"\\$# \n\r\t/') & set(rule.backend.service.name)


OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


def test_the_oldest_has_a_path_and_the_next_takes_over():
    """The winner keeps its path and hears who wants it, the loser who won; without the winner it has the path."""
    tea, both = {"path": "/tea", "backend": backend()}, {"path": "/x", "backend": backend()}
    first = read(obj(rules(tea), name="z", created=OLD))
    second = read(obj(rules(tea, both), name="a", created=NEW))
    winner, loser = settle([second, first])
    assert winner == replace(first, contests=(("spec.rules[0].http.paths[0]", "ClusterTrafficPolicy shop/a"),))
    assert [path.path for path in loser.paths] == ["/x"]
    assert loser.problems[0].reason == "Conflicted"
    assert "ClusterTrafficPolicy shop/z" in str(loser.problems[0])
    assert settle([second]) == [second]


def test_equal_age_is_settled_by_name():
    """Two objects of one second: namespace and name decide."""
    policies = [read(obj(rules({"backend": backend()}), name=name)) for name in ("b", "a")]
    assert [bool(policy.paths) for policy in settle(policies)] == [True, False]


def test_a_host_belongs_to_the_namespace_that_had_it_first():
    """Another namespace gets no path of it, unless it is shared; every other host is nobody's."""
    first = read(obj(rules({"path": "/a", "backend": backend()}), created=OLD))
    other = read(obj(rules({"path": "/b", "backend": backend()}), namespace="thief", created=NEW))
    owner, thief = settle([first, other])
    assert thief.paths == ()
    assert owner.contests == (("spec.rules[0].http.paths[0]", "ClusterTrafficPolicy thief/cafe"),)
    assert settle([first, other], shared=lambda _host, owner, _of: owner == "shop")[1].paths
    catch_all = [read(obj(rules({"path": f"/{n}", "backend": backend()}, host=""), namespace=n)) for n in ("a", "b")]
    assert all(policy.paths for policy in settle(catch_all))


def test_two_default_backends():
    """The same rule: the oldest wins."""
    found = settle(
        [read(obj({"defaultBackend": backend()}, name=name, created=age)) for name, age in (("a", NEW), ("b", OLD))]
    )
    assert [(policy.name, bool(policy.paths)) for policy in found] == [("b", True), ("a", False)]
