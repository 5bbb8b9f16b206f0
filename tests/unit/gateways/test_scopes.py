"""The scope rules: who is served when several want the same."""

from __future__ import annotations

import random

import pytest

from gateway_objects import SETTINGS, WORKING, gateway, project
from gateway_operator.gateways.scopes import served_projects, verdict
from gateway_operator.settings import GatewaySettings


def reason(obj, peers, settings=SETTINGS, *, installed=False):
    """Return the reason of the refusal, or None; the order of the peers must not matter."""
    shuffled = list(peers)
    random.shuffle(shuffled)
    refusal = verdict(obj, shuffled, settings, installed=installed)
    return refusal.reason if refusal else None


def with_class(name, ingress_class, default=None, **more):
    """Make a cluster gateway with a class."""
    chosen = {"name": ingress_class} | ({} if default is None else {"default": default})
    return gateway(name, spec={"ingressClass": chosen}, **more)


def test_a_gateway_alone_is_served():
    """A cluster gateway and a project gateway have nothing against them by themselves."""
    for obj in (
        gateway("g"),
        project("p", "team"),
        gateway("p", WORKING, {"controller": {"scope": {"enabled": True, "namespace": "team"}}}),
    ):
        assert reason(obj, [obj]) is None


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"controller": {"scope": {"enabled": False}}},
        {"controller": {"scope": {"enabled": True, "namespace": "other"}}},
    ],
)
def test_outside_the_working_namespace_only_the_own_project_is_served(spec):
    """Who may write in a project gets a gateway of that project, not of another and not of the cluster."""
    obj = gateway("g", "team", spec)
    refusal = verdict(obj, [obj], SETTINGS, installed=False)
    assert refusal is not None
    assert refusal.reason == "ScopeForbidden"
    assert WORKING in refusal.message
    assert reason(obj, [obj], installed=True) == "ScopeForbidden"


def test_the_own_project_may_be_named():
    """An explicit scope of the own namespace is the same as an empty one."""
    obj = gateway("g", "team", {"controller": {"scope": {"enabled": True, "namespace": "team"}}})
    assert reason(obj, [obj]) is None


def test_the_working_namespace_is_a_setting():
    """Another working namespace takes over its rights; unset means the default for cluster gateways."""
    obj = gateway("g", "edge")
    assert reason(obj, [obj], GatewaySettings.model_validate({"namespace": "edge"})) is None
    assert reason(obj, [obj], GatewaySettings.model_validate({"namespace": ""})) == "ScopeForbidden"
    unset = gateway("g", WORKING)
    assert reason(unset, [unset], GatewaySettings.model_validate({"namespace": ""})) is None


def test_a_cluster_gateway_blocks_newer_project_gateways():
    """The message names the blocker; when it is gone, the project gateway is served."""
    blocker, obj = gateway("global", age=1), project("p", "team", age=2)
    refusal = verdict(obj, [blocker, obj], SETTINGS, installed=False)
    assert refusal is not None
    assert refusal.reason == "ClusterGatewayExists"
    assert f"{WORKING}/global" in refusal.message
    assert reason(blocker, [blocker, obj]) is None
    assert reason(obj, [obj]) is None


def test_a_terminating_cluster_gateway_still_blocks():
    """Until its finalizers are done its pods may still serve."""
    blocker, obj = gateway("global", age=1, installed=True), project("p", "team", age=2)
    blocker["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    refusal = verdict(obj, [blocker, obj], SETTINGS, installed=False)
    assert refusal is not None
    assert "being deleted" in refusal.message


def test_a_project_gateway_that_was_there_first_goes_on():
    """Created before the cluster gateway it is accepted, and once installed it stays whatever the ages are."""
    first, cluster = project("p", "team", age=1), gateway("global", age=2)
    assert reason(first, [first, cluster]) is None
    later = project("p", "team", age=3, installed=True)
    assert reason(later, [later, cluster], installed=True) is None


def test_an_installed_cluster_gateway_does_not_become_a_project_gateway_beside_another():
    """The exception is for project gateways that run, not for every release."""
    cluster, obj = gateway("global", age=1), project("p", "team", age=2, installed=True)
    obj["status"] |= {"scope": "Cluster", "ingressClass": "nginx"}
    assert reason(obj, [cluster, obj], installed=True) == "ClusterGatewayExists"


def test_a_refused_cluster_gateway_blocks_nobody():
    """A cluster gateway in a project is not served itself, so it can't keep others away."""
    refused, obj = gateway("global", "team", age=1), project("p", "team", age=2)
    assert reason(obj, [refused, obj]) is None


def test_equal_ages_are_settled_by_uid():
    """Two objects of one second have an order too, the same for both."""
    a, b = project("a", "team", age=1), project("b", "team", age=1)
    assert reason(a, [a, b]) is None
    assert reason(b, [a, b]) == "ProjectGatewayExists"


def test_one_project_has_one_gateway():
    """The older is served; one from the working namespace counts as well."""
    older = gateway("old", WORKING, {"controller": {"scope": {"enabled": True, "namespace": "team"}}}, age=1)
    younger, other = project("new", "team", age=2), project("x", "elsewhere", age=3)
    peers = [older, younger, other]
    assert [reason(obj, peers) for obj in peers] == [None, "ProjectGatewayExists", None]


def test_whoever_holds_a_project_keeps_it():
    """An older Gateway that is changed to serve the same project doesn't push out the one that runs."""
    older, runs = project("old", "team", age=1), project("new", "team", age=2, installed=True)
    runs["status"] |= {"scope": "Project", "project": "team"}
    assert reason(older, [older, runs]) == "ProjectGatewayExists"
    assert reason(runs, [older, runs], installed=True) is None


def test_kk4759_kk6114_kk5021_cluster_gateways_need_classes_of_their_own():
    """The older keeps a class; another class is served beside it."""
    first, same, own = gateway("a", age=1), gateway("b", age=2), with_class("c", "internal", age=3)
    peers = [first, same, own]
    assert [reason(obj, peers) for obj in peers] == [None, "IngressClassTaken", None]


def test_a_class_that_is_held_is_not_taken_by_a_change():
    """An older gateway that is changed to a class in use is the one that is refused."""
    changed, holder = (
        with_class("a", "internal", age=1, installed=True),
        with_class("b", "internal", age=2, installed=True),
    )
    changed["status"] |= {"scope": "Cluster", "ingressClass": "nginx"}
    holder["status"] |= {"scope": "Cluster", "ingressClass": "internal"}
    assert reason(changed, [changed, holder], installed=True) == "IngressClassTaken"
    assert reason(holder, [changed, holder], installed=True) is None


def test_one_cluster_gateway_serves_ingresses_without_a_class():
    """A second default is refused, whether it says so or has the class nginx; saying false mends it."""
    default = with_class("a", "internal", True, age=1)
    implied, explicit, mended = (
        gateway("b", age=2),
        with_class("c", "x", True, age=3),
        with_class("d", "nginx", False, age=4),
    )
    assert reason(implied, [default, implied]) == "DefaultClassTaken"
    assert reason(explicit, [default, explicit]) == "DefaultClassTaken"
    assert reason(mended, [default, mended]) is None


def test_project_gateways_share_classes():
    """They match Ingresses of their own namespace only, so a class is no conflict."""
    a, b = project("a", "one", age=1), project("b", "two", age=2)
    assert [reason(obj, [a, b]) for obj in (a, b)] == [None, None]


def test_served_projects_are_those_that_have_a_gateway():
    """The cluster gateway leaves the Ingress status of these namespaces alone; refused gateways don't count."""
    peers = [
        project("p", "zeta", age=1),
        project("q", "alpha", age=2, installed=True),
        gateway("global", age=3),
        project("r", "late", age=4),
        project("s", "bad", {"values": {"rbac": {"create": True}}}, age=0),
    ]
    assert served_projects(peers, SETTINGS) == ("alpha", "zeta")
