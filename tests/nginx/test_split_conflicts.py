"""Policies and Ingresses that want the same place: the oldest has it, the loser is told and takes over later."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_operator.ingress.graph import Graph, GraphBuilder
from gateway_operator.ingress.host_owners import settle_host
from gateway_operator.ingress.parse import parse_ingress
from gateway_operator.ingress.split_rules import changed_policies, policy_rules
from gateway_operator.ingress.split_types import POLICY
from gateway_operator.traffic.config import Path, Policy, SplitConfig, dump, parse
from tests.nginx.harness import Backend, Gateway
from tests.nginx.objects import ingress, rule, site
from tests.nginx.policies import backend, members, path, policy

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")
OLD, NEW, NEWEST = (f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3))


def graph(policies: list[Policy], *ingresses: dict[str, Any]) -> Graph:
    """The graph of policies and Ingresses; all have endpoints."""
    services = {"services": {"a": 8001}}
    return GraphBuilder().build(members(policies, {"wuhan": 8002}, *ingresses, **services))


def tea(name: str = "p", where: str = "x.test/tea", kind: str = "Prefix", **more: Any) -> Policy:
    """A policy for one path."""
    return policy(name, path(where, backend({"wuhan": 1}), kind), **more)


def owners(found: Graph, host: str = "x.test") -> dict[str, str]:
    """Who has which path of a host."""
    (server,) = [item for item in found.hosts if item.name == host]
    return {route.path: f"{route.rules.ref.kind}/{route.rules.ref.name}" for route in server.routes}


def told(found: Graph) -> set[tuple[str, str, str]]:
    """Who is told what: kind, name and reason."""
    return {(item.ref.kind, item.ref.name, item.reason) for item in found.problems}


def test_the_older_one_has_the_path() -> None:
    """An older Ingress beats a policy and the other way round; both losers learn who has it; other paths merge."""
    mine = site("x.test", {}, ("/tea", "Prefix", "a"), ("/more", "Prefix", "a"), created=OLD, name="i")
    found = graph([tea(created=NEW)], mine)
    assert owners(found) == {"/tea": "Ingress/i", "/more": "Ingress/i"}
    problem, winner = sorted(found.problems)
    assert (problem.ref.kind, problem.reason, problem.field) == (POLICY, "Conflicted", "spec.rules[0].http.paths[0]")
    assert "Ingress apps/i" in problem.message
    assert (winner.ref.kind, winner.reason) == ("Ingress", "PathContested")
    assert f"{POLICY} apps/p wants Prefix path /tea of host x.test, too" in winner.message
    mine["metadata"]["creationTimestamp"] = NEWEST
    found = graph([tea(created=NEW)], mine)
    assert owners(found) == {"/tea": f"{POLICY}/p", "/more": "Ingress/i"}
    assert told(found) == {("Ingress", "i", "PathConflict"), (POLICY, "p", "PathContested")}
    winner, loser = sorted(found.problems)
    assert (winner.field, winner.message) == ("spec.rules[0].http.paths[0]", "Ingress apps/i")
    assert f"{POLICY} apps/p" in loser.message


def test_of_the_same_age_the_policy_has_it() -> None:
    """At the same second kind, then namespace and name decide."""
    mine = site("x.test", {}, ("/tea", "Prefix", "a"), created=OLD, name="a")
    assert owners(graph([tea(created=OLD)], mine)) == {"/tea": f"{POLICY}/p"}
    assert owners(graph([tea("q", created=OLD), tea("b", created=OLD)])) == {"/tea": f"{POLICY}/b"}


def test_types_are_places_of_their_own() -> None:
    """The same text as another type is no conflict."""
    paths = [tea("e", kind="Exact"), tea("p"), tea("i", kind="ImplementationSpecific")]
    found = graph(paths)
    assert found.problems == ()
    (server,) = [item for item in found.hosts if item.name == "x.test"]
    assert [route.rules.ref.name for route in server.routes] == ["e", "p", "i"]


def test_a_host_belongs_to_its_first_namespace() -> None:
    """A policy keeps other namespaces' younger Ingresses off its host, and doesn't join an older one's host."""
    other = site("x.test", {}, ("/more", "Prefix", "a"), created=NEW, name="i", namespace="others")
    found = graph([tea(created=OLD)], other)
    assert owners(found) == {"/tea": f"{POLICY}/p"}
    assert told(found) == {("Ingress", "i", "HostConflict"), (POLICY, "p", "PathContested")}
    found = graph([tea(created=NEWEST)], other)
    assert owners(found) == {"/more": "Ingress/i"}
    assert told(found) >= {(POLICY, "p", "Conflicted"), ("Ingress", "i", "PathContested")}


def test_ingresses_among_themselves() -> None:
    """Where no policy takes part the winner hears nothing: that is upstream's way."""
    older = site("x.test", {}, ("/tea", "Prefix", "a"), created=OLD, name="older")
    younger = site("x.test", {}, ("/tea", "Prefix", "a"), created=NEW, name="younger")
    assert told(graph([], older, younger)) == {("Ingress", "younger", "PathConflict")}


def test_ingresses_of_other_namespaces_merge_where_no_policy_is_older() -> None:
    """A younger policy takes nothing from who is there."""
    one = site("x.test", {}, ("/a", "Prefix", "a"), created=OLD, name="one")
    two = site("x.test", {}, ("/b", "Prefix", "a"), created=NEW, name="two", namespace="others")
    three = site("x.test", {}, ("/c", "Prefix", "a"), created="2026-01-09T00:00:00Z", name="three", namespace="others")
    found = graph([tea(created=NEWEST)], one, two, three)
    assert set(owners(found)) == {"/a", "/b", "/tea"}


def test_a_granted_host() -> None:
    """The namespace that has the host may share it; the empty host belongs to nobody."""
    other = site("x.test", {}, ("/more", "Prefix", "a"), created=NEW, name="i", namespace="others")
    for grants, expected in (({"apps": ("others",)}, 2), ({"apps": ("*",)}, 2), ({"others": ("apps",)}, 1)):
        config = SplitConfig.of([tea(created=OLD)]).model_copy(update={"grants": grants})
        (mine,) = [rules for _, (_, rules) in changed_policies(parse(dump(config)), {})]
        kept, problems = settle_host("x.test", [mine, parse_ingress(other)])
        assert (len(kept), len(problems)) == (expected, 2 * (2 - expected))  # the loser is told, and the winner
    anywhere = ingress("i", rule("", ("/more", "Prefix", "a")), namespace="others", created=NEW)
    found = graph([tea(where="/tea", created=OLD)], anywhere)
    assert set(owners(found, "")) == {"/tea", "/more"}


def test_default_backends() -> None:
    """The oldest default backend has the host that nobody else has."""
    default = policy("p", path("", backend({"wuhan": 1}), "Default"), created=NEW)
    found = graph([default], ingress("i", created=OLD, default="a"))
    assert told(found) == {(POLICY, "p", "Conflicted"), ("Ingress", "i", "PathContested")}
    found = graph([default], ingress("i", created=NEWEST, default="a"))
    assert told(found) == {("Ingress", "i", "PathConflict"), (POLICY, "p", "PathContested")}


def test_a_canary_joins_no_policy() -> None:
    """A canary has no main Ingress where a policy has the path."""
    canary = site("x.test", {"canary": "true", "canary-weight": "50"}, ("/tea", "Prefix", "a"), name="canary")
    found = graph([tea()], canary)
    assert ("Ingress", "canary", "CanaryWithoutMain") in told(found)


@pytest.mark.parametrize(
    ("host", "text", "reason"),
    [
        ("x.test", "/a'b", "InvalidPath"),
        ("x.test", "/a|b", "InvalidPath"),
        ("x.test", "/%22x", "InvalidPath"),
        ("x.test", "/%zz", "InvalidPath"),
        ("a" * 64 + ".test", "/", "InvalidHost"),
    ],
)
def test_what_cannot_be_served(host: str, text: str, reason: str) -> None:
    """A host or path that could mean something to nginx is left out by itself."""
    bad = Path(where="spec.rules[0].http.paths[0]", host=host, type="Prefix", path=text, backend=backend({"wuhan": 1}))
    found = policy_rules(policy("p", bad, path("y.test/é", None)), {})
    assert [(item.reason, item.field) for item in found.problems] == [(reason, "spec.rules[0].http.paths[0]")]
    assert [(item.host, item.path) for item in found.paths] == [("y.test", "/é")]


async def test_a_loser_takes_over(served: Gateway, backends: dict[str, Backend]) -> None:
    """When the winner is deleted the loser has the path at once, over both renderers."""
    ports, services = {"wuhan": backends["b"].port}, {"services": {"a": backends["a"].port}}
    mine = site("x.test", {}, ("/tea", "Prefix", "a"), created=OLD)
    await served.serve(members([tea(created=NEW)], ports, mine, **services))
    assert await served.backend_of("x.test", "/tea") == "a"
    await served.serve(members([tea(created=NEW)], ports, **services))
    assert await served.backend_of("x.test", "/tea") == "b"
    mine["metadata"]["creationTimestamp"] = NEWEST
    await served.serve(members([tea(created=NEW)], ports, mine, **services))
    assert await served.backend_of("x.test", "/tea") == "b"
    await served.serve(members([], ports, mine, **services))
    assert await served.backend_of("x.test", "/tea") == "a"
