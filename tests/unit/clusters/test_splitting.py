"""What each gateway is told of policies: who serves what, who wins, and what fits in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway_operator.clusters.conflicts import settle
from gateway_operator.clusters.evaluation import Members, Place, evaluate
from gateway_operator.clusters.grants import HOSTS_ANNOTATION, grants_of, may_use
from gateway_operator.clusters.policies import Policy, read
from gateway_operator.clusters.programming import Issued, PodReport, problems_of, programmed
from gateway_operator.clusters.splitting import LIMIT, Splitter, settle_all
from gateway_operator.clusters.store import MemberView
from gateway_operator.crds.traffic import TrafficReason
from gateway_operator.traffic.config import dump
from gateway_operator.traffic.gateways import Assignment, Gateway, gateway_of

EDGE = Gateway("edge", "main", without_class=True)
TEAM = Gateway("edge", "team", project="team")
HERE = Place("south", "south-1")
MEMBERS = Members({"a": MemberView("a"), "b": MemberView("b")}, {"a": HERE, "b": Place("north")})


def policy(name: str, *, namespace: str = "shop", host: str = "h.example.com", day: int = 1, **spec: Any) -> Policy:
    """Read a policy for `/` of a host, over a and c."""
    clusters = [{"name": "a", "weight": 3}, {"name": "c", "weight": 1}]
    backend = {"service": {"name": "tea", "port": {"number": 80}}, "clusterTrafficPolicy": clusters, **spec}
    meta = {"name": name, "namespace": namespace, "creationTimestamp": f"2026-01-{day:02d}T00:00:00Z"}
    rules = [{"host": host, "http": {"paths": [{"path": "/", "backend": backend}]}}]
    return read({"metadata": {**meta, "uid": name}, "spec": {"rules": rules}})


def told(policies: list[Policy], *gateways: Gateway) -> dict[tuple[str, str], Assignment]:
    """Return what gateways are told."""
    settled = settle_all(policies, gateways)
    return Splitter().run(settled, evaluate(settled.policies, MEMBERS, HERE), MEMBERS, HERE)


def test_a_gateway_is_read_from_its_values() -> None:
    """The chart's defaults hold where the values say nothing, or something odd."""
    meta = {"name": "main", "namespace": "edge"}
    assert gateway_of({"metadata": meta, "spec": None}) == Gateway("edge", "main")
    scope = {"scope": {"enabled": True}, "ingressClassResource": {"name": "x"}, "watchIngressWithoutClass": True}
    assert gateway_of({"metadata": meta, "spec": {"controller": scope}}) == Gateway("edge", "main", "x", True, "edge")
    assert gateway_of({"metadata": meta, "spec": {"controller": {"scope": "odd"}}}) == Gateway("edge", "main")


def test_class_and_project_decide_who_serves() -> None:
    """A class by its name, no class where the gateway wants such, a project gateway its own only."""
    assert EDGE.serves("shop", "")
    assert EDGE.serves("shop", "nginx")
    assert not EDGE.serves("shop", "other")
    assert not TEAM.serves("shop", "nginx")
    assert TEAM.serves("team", "nginx")
    assert not TEAM.serves("team", "")


def test_unknown_clusters_have_no_mirror_and_the_list_is_by_name() -> None:
    """The config says what people wrote; a cluster that isn't there has no part in it."""
    [only] = told([policy("p", locality="LocalFirst")], EDGE)[EDGE.key].config.policies  # type: ignore[union-attr]
    found = [(c.name, c.weight, c.distance, bool(c.mirror)) for c in only.paths[0].backend.clusters]  # type: ignore[union-attr]
    assert found == [("a", 3, 0, True), ("c", 1, 2, False)]
    [every] = told([policy("p", clusterTrafficPolicy=None)], EDGE)[EDGE.key].config.policies  # type: ignore[union-attr]
    assert [(c.name, c.weight) for c in every.paths[0].backend.clusters] == [("a", None), ("b", None)]  # type: ignore[union-attr]


def test_policies_of_one_gateway_are_settled_among_themselves() -> None:
    """Also where one names the class and the other none; who loses at one gateway may serve at another."""
    old, young = policy("old"), policy("young", namespace="team", day=2)
    found = told([old, young], EDGE, Gateway("edge", "team", without_class=True, project="team"))
    assert [p.name for p in found[EDGE.key].config.policies] == ["old"]  # type: ignore[union-attr]
    assert [p.name for p in found["edge", "team"].config.policies] == ["young"]  # type: ignore[union-attr]
    both = settle_all([old, young], [EDGE, Gateway("edge", "team", without_class=True, project="team")])
    assert [len(p.paths) for p in both.policies] == [1, 1]
    assert both.policies[1].problems[0].reason == TrafficReason.CONFLICTED
    assert settle_all([old, young], []).policies == tuple(settle([old, young]))


def test_nothing_new_is_the_same_object() -> None:
    """So that a pass without a change has nothing to tell."""
    settled = settle_all([policy("p")], [EDGE])
    splitter, outcomes = Splitter(), evaluate(settled.policies, MEMBERS, HERE)
    first = splitter.run(settled, outcomes, MEMBERS, HERE)[EDGE.key]
    assert splitter.run(settled, outcomes, MEMBERS, HERE)[EDGE.key] is first


def test_a_thousand_policies_fit_and_the_newest_are_left_out_else() -> None:
    """A thousand of usual size fit; of more, those that served stay and the others are named."""
    usual = [policy(f"policy-{n:04}", host=f"h{n}.example.com", day=1 + n // 100) for n in range(1000)]
    fits = told(usual, EDGE)[EDGE.key]
    assert fits.left_out == ()
    assert fits.config is not None
    assert len(dump(fits.config).encode()) < LIMIT
    more = [policy(f"later-{n:04}", host=f"l{n}.example.com", day=28) for n in range(1500)]
    full = told([*more, *usual], EDGE)[EDGE.key]
    assert full.config is not None
    assert len(dump(full.config).encode()) <= LIMIT
    assert {p.name for p in full.config.policies} >= {p.name for p in usual}
    assert len(full.config.policies) + len(full.left_out) == 2500
    assert all(name.startswith("later-") for _, name in full.left_out)


def test_programmed_follows_the_pods() -> None:
    """Who serves it, whether it fits, whether every ready pod has it; what isn't known yet stays unsaid."""
    mine, other = policy("mine"), policy("other", host="o.example.com")
    issued, first = Issued(), told([mine, other], EDGE)
    issued.note(first)
    digest = first[EDGE.key].digest

    def said(*pods: PodReport, assignments: Any = first) -> str | None:
        found = programmed(mine, [EDGE], assignments, {EDGE.key: pods}, issued)
        return found and str(found[1])

    none = programmed(mine, [TEAM], first, {}, issued)
    assert none
    assert none[1] == TrafficReason.NO_GATEWAY
    assert said() == said(PodReport("p", ready=False, digest=digest)) == "GatewayNotReady"
    assert said(PodReport("p")) is None
    assert said(PodReport("p", error="refused")) == "Pending"
    assert said(PodReport("p", digest=digest)) == "Programmed"
    assert said(PodReport("p", digest=digest), PodReport("q", digest="0" * 16)) == "Pending"
    later = told([mine, policy("other", host="x.example.com")], EDGE)
    issued.note(later)
    assert said(PodReport("p", digest=digest), assignments=later) == "Programmed", "another policy changed"
    assert said(assignments={EDGE.key: Assignment(None, (mine.key,))}) == "ConfigTooLarge"
    pods = [PodReport("p", problems=(("shop/mine", "spec.x", "taken"), ("shop/other", "y", "z")))] * 2
    assert [str(problem) for problem in problems_of(mine.key, pods)] == ["spec.x: taken"]


def test_a_granted_host_is_shared_and_the_gateway_hears_of_it() -> None:
    """Another namespace's path on a host conflicts, until the host's namespace names it; gateways need to know, too."""
    mine, theirs = policy("mine"), policy("theirs", namespace="web", day=2)
    theirs = replace(theirs, paths=tuple(replace(path, path="/other") for path in theirs.paths))
    for grants, served in (({}, 1), ({"shop": ("blog",)}, 1), ({"shop": ("web",)}, 2), ({"shop": ("*",)}, 2)):
        settled = settle_all([mine, theirs], [EDGE], grants)
        config = Splitter().run(settled, (), MEMBERS, HERE)[EDGE.key].config
        assert config is not None
        assert len(config.policies) == served
        assert config.grants == grants


def test_grants_are_read_from_namespaces() -> None:
    """Names at commas, or `*`; what can't be a name counts for nothing."""
    said = {"a": "web, blog,", "b": "*", "c": "No Name", "d": ""}
    namespaces = [{"metadata": {"name": name, "annotations": {HOSTS_ANNOTATION: text}}} for name, text in said.items()]
    found = grants_of(HOSTS_ANNOTATION, [*namespaces, {"metadata": {"name": "e"}}])
    assert found == {"a": ("blog", "web"), "b": ("*",)}
    asked = (("web", "a"), ("x", "a"), ("x", "b"), ("x", "e"))
    assert [may_use(found)(*pair) for pair in asked] == [True, False, True, False]
