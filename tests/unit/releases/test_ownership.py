"""Who owns which field, and who they are."""

from __future__ import annotations

import pytest

from gateway_operator.releases.managers import Role, role_of
from gateway_operator.releases.ownership import last_writer, owners, owns_all
from managed import entry, managed

OBJECT = managed(
    {"data": {"a": "1", "b": "2"}, "spec": {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 30000}], "l": [1]}},
    entry("helm", {"f:data": {"f:a": {}}}, time="2026-01-03T00:00:00Z"),
    entry("kubectl-edit", {"f:data": {".": {}, "f:b": {}}, "f:spec": {"f:l": {}}}, time="2026-01-02T00:00:00Z"),
    entry("fan", {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:nodePort": {}}}}}),
    entry("controller", {"f:status": {}}, subresource="status", time="2026-01-09T00:00:00Z"),
)


@pytest.mark.parametrize(
    ("path", "who"),
    [
        (("data", "b"), {"kubectl-edit"}),
        (("data",), {"helm", "kubectl-edit"}),
        (("spec", "ports", "0", "nodePort"), {"fan"}),
        (("spec", "ports"), {"fan"}),
        (("spec", "l", "0"), {"kubectl-edit"}),  # a part of an indivisible list
        (("data", "gone"), set()),
        (("spec", "ports", "-"), set()),
    ],
)
def test_owners(path, who):
    """By the field, a part of it, or the indivisible value around it; owning a map is not owning what is in it."""
    assert owners(OBJECT, path) == who


def test_last_writer_is_not_who_wrote_a_status():
    """Nor one of those who are left out."""
    assert last_writer(OBJECT, without={"helm"}) == "kubectl-edit"
    assert last_writer({"metadata": {}}, without=set()) is None


PORTS = {'k:{"port":80,"protocol":"TCP"}': {"f:port": {}, "f:name": {}}}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"spec": {"ports": [{"port": 80, "name": "x"}], "selector": {"a": "b"}}}, True),
        ({"spec": {"ports": [{"port": 81, "name": "x"}]}}, False),
        ({"spec": {"ports": [{"port": 80, "name": "x", "nodePort": 1}]}}, False),
        ({"spec": {"empty": {}, "null": None}}, True),
        ({"data": {"a": "1"}}, False),
    ],
)
def test_owning_all(wanted, expected):
    """Every leaf of what is wanted has to be owned; empty values are not kept by the API server."""
    assert owns_all(wanted, [{"f:spec": {"f:selector": {}, "f:ports": PORTS}}], []) is expected


def test_what_is_left_of_a_map_proves_nothing():
    """An update owns a map and its keys; without the keys it looks like one value."""
    wanted = {"data": {"a": "1", "b": "2"}}
    assert not owns_all(wanted, [], [{"f:data": {}}])
    assert not owns_all(wanted, [{"f:data": {"f:a": {}}}], [{"f:data": {}}])
    assert owns_all(wanted, [{"f:data": {"f:a": {}}}], [{"f:data": {".": {}, "f:b": {}}}])
    both = managed({"data": {"a": "1"}}, entry("made-it", {"f:data": {}}), entry("kubectl", {"f:data": {"f:a": {}}}))
    assert owners(both, ("data", "a")) == {"kubectl"}


@pytest.mark.parametrize(
    ("manager", "role"),
    [
        ("helm", Role.HELM),
        ("gateway-operator-drift", Role.OURS),
        ("kubectl", Role.PERSON),
        ("kubectl-client-side-apply", Role.PERSON),
        ("kubectl-rollout", Role.PERSON),
        ("Mozilla", Role.PERSON),
        ("OpenAPI-Generator", Role.PERSON),
        ("somebody", Role.PERSON),
        ("kube-controller-manager", Role.CONTROLLER),
        ("kube-controller-manager-v1.34.4", Role.CONTROLLER),
        ("cert-manager-cainjector", Role.CONTROLLER),
        ("cainjector", Role.CONTROLLER),
        ("kubelet", Role.CONTROLLER),
        ("helm-operator", Role.CONTROLLER),
        ("manager", Role.CONTROLLER),
        ("vertical-pod-autoscaler", Role.CONTROLLER),
        ("kube-webhook-certgen", Role.CONTROLLER),
        ("writes-status", Role.CONTROLLER),
        ("named-by-rule", Role.CONTROLLER),
    ],
)
def test_roles(manager, role):
    """A name tells who writes; who writes the status is a controller, and so is whom a rule names."""
    assert role_of(manager, status_writers={"writes-status"}, more=["named-*"]) is role


def test_kubectl_is_a_person_also_when_it_edits_a_status():
    """`kubectl edit --subresource=status` makes nobody a controller."""
    assert role_of("kubectl-edit", status_writers={"kubectl-edit"}) is Role.PERSON
