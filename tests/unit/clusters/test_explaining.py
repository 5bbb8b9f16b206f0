"""Who answers a request: hosts, paths and default backends in the order that gateways have them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_operator.clusters.explaining import match
from gateway_operator.clusters.policies import read
from gateway_operator.commands.explain import World, answers

BACKEND = {"service": {"name": "tea", "port": {"number": 80}}}


def policy(*rules: tuple[str, str, str], default: bool = False) -> dict[str, Any]:
    """Write a policy of (host, type, path)."""
    found = [
        {"host": host, "http": {"paths": [{"path": path, "pathType": type_, "backend": BACKEND}]}}
        for host, type_, path in rules
    ]
    meta = {"name": "cafe", "namespace": "shop", "generation": 2}
    return {"metadata": meta, "spec": {"rules": found, **({"defaultBackend": BACKEND} if default else {})}}


RULES = (
    ("a.example.com", "Prefix", "/tea"),
    ("a.example.com", "Exact", "/tea"),
    ("a.example.com", "ImplementationSpecific", "/teap"),
    ("a.example.com", "Prefix", "/tea/green"),
    ("*.example.com", "Prefix", "/"),
    ("", "Prefix", "/"),
)


@pytest.mark.parametrize(
    ("host", "path", "where"),
    [
        ("a.example.com", "/tea", "spec.rules[1]"),
        ("A.example.com", "/tea/", "spec.rules[0]"),
        ("a.example.com", "/tea/greenish", "spec.rules[0]"),
        ("a.example.com", "/tea/green/x", "spec.rules[3]"),
        ("a.example.com", "/teapot", "spec.rules[2]"),
        ("a.example.com", "/other", "spec.defaultBackend"),
        ("b.example.com", "/other", "spec.rules[4]"),
        ("a.b.example.com", "/other", "spec.rules[5]"),
    ],
)
def test_the_most_specific_wins(host: str, path: str, where: str) -> None:
    """Exact, then the longest prefix; a host that has rules never falls through to a wider one."""
    found = match([read(policy(*RULES, default=True))], host, path)
    assert found is not None
    assert found.rule.where.startswith(where)


def test_nobody_answers() -> None:
    """Without a rule or a default backend."""
    assert match([read(policy(("a.example.com", "Prefix", "/tea")))], "a.example.com", "/coffee") is None


def test_what_the_operator_said_is_shown() -> None:
    """Shares and acknowledgement come from the status, with its age; over files there is neither."""
    obj = policy(("a.example.com", "Prefix", "/tea"))
    share = {"name": "wuhan", "desired": "80.00%", "effective": "100.00%", "ready": 4, "state": "Active"}
    programmed = {"type": "Programmed", "status": "True", "message": "1 pods serve it", "observedGeneration": 2}
    backend = {"host": "a.example.com", "path": "/tea", "pathType": "Prefix", "clusters": [share]}
    obj["status"] = {"backends": [backend], "conditions": [programmed]}
    nginx = {"metadata": {"name": "edge", "namespace": "e"}, "spec": {"controller": {"watchIngressWithoutClass": True}}}
    other = {"metadata": {"name": "none", "namespace": "e"}, "spec": {}}
    objects = {"ClusterTrafficPolicy": [obj], "Nginx": [nginx, other]}
    [edge, none] = answers(World(objects, live=True), "a.example.com", "/tea")
    assert (edge.clusters, edge.acknowledged) == ((share,), "yes: 1 pods serve it")
    assert none.policy == ""
    programmed["observedGeneration"] = 1
    assert answers(World(objects, live=True), "a.example.com", "/tea")[0].acknowledged.startswith("no: ")
    assert answers(World(objects), "a.example.com", "/tea")[0].acknowledged == ""
