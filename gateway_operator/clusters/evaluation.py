"""From policies and members to what each path's requests meet now. Pure.

Mirror, status, explain and the gateways' configuration all read this one answer, so they can't disagree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway_operator.clusters.pace import Steps, at_once
from gateway_operator.clusters.policies import Backend, PathRule, Policy, Service
from gateway_operator.clusters.store import Alive, Found, MemberView, look, without_dead
from gateway_operator.crds.traffic import TrafficReason
from gateway_operator.traffic.shares import Candidate, Split, split

NEAR, SAME_REGION, FAR = 0, 1, 2


@dataclass(frozen=True)
class Place:
    """Where something stands; empty texts are unknown."""

    region: str = ""
    zone: str = ""
    network: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A cluster's side of a path: its addresses, None while they aren't known yet."""

    cluster: str
    found: Found | None


@dataclass(frozen=True, slots=True)
class PathOutcome:
    """A path, the shares of its requests, and where the clusters answer."""

    rule: PathRule
    split: Split
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class PolicyOutcome:
    """A policy and its paths; those without a backend have an empty split."""

    policy: Policy
    paths: tuple[PathOutcome, ...]


@dataclass(frozen=True)
class Members:
    """All members, the one that keeps its addresses first where two have the same: views and places by name."""

    views: Mapping[str, MemberView]
    places: Mapping[str, Place]


def distance(here: Place, there: Place) -> int:
    """Tell how near a cluster is; what isn't known is far."""
    if not here.region or here.region != there.region:
        return FAR
    return NEAR if here.zone and here.zone == there.zone else SAME_REGION


def knows_nothing(_cluster: str, _address: object) -> None:
    """Stand for probes that know nothing."""


def evaluate(
    policies: Sequence[Policy], members: Members, here: Place, alive: Alive = knows_nothing
) -> list[PolicyOutcome]:
    """Return what each policy does."""
    return Evaluator().run(policies, members, here, alive)


def needed_namespaces(policies: Iterable[Policy], members: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the namespaces of each member that policies need."""
    result: dict[str, set[str]] = {name: set() for name in members}
    for policy in policies:
        for service, backend in policy.services:
            for name in result if backend.entries is None else (entry.cluster for entry in backend.entries):
                if name in result:
                    result[name].add(service.namespace)
    return {name: frozenset(namespaces) for name, namespaces in result.items()}


class Evaluator:
    """Evaluates again and again; what nothing happened to is the same object as the last time, at little cost."""

    def __init__(self) -> None:
        self._addresses = _Addresses()
        self._policies: dict[tuple[str, str], PolicyOutcome] = {}
        self._paths: dict[tuple[tuple[str, str], str], tuple[tuple[Any, ...], PathOutcome]] = {}

    def run(
        self, policies: Sequence[Policy], members: Members, here: Place, alive: Alive = knows_nothing
    ) -> list[PolicyOutcome]:
        """Return what each policy does."""
        return at_once(self.steps(policies, members, here, alive))

    def steps(
        self, policies: Sequence[Policy], members: Members, here: Place, alive: Alive = knows_nothing
    ) -> Steps[list[PolicyOutcome]]:
        """Do the same in steps."""
        clash = yield from self._addresses.clashes(policies, members)
        before, self._paths = self._paths, {}
        known, self._policies = self._policies, {}
        for policy in policies:
            paths = tuple(
                self._path(before, (policy.key, rule.where), rule, members, here, alive, clash) for rule in policy.paths
            )
            old = known.get(policy.key)
            same = old is not None and old.policy == policy and old.paths == paths
            self._policies[policy.key] = old if old is not None and same else PolicyOutcome(policy, paths)
            yield
        return list(self._policies.values())

    def _path(
        self,
        before: Mapping[tuple[tuple[str, str], str], tuple[tuple[Any, ...], PathOutcome]],
        key: tuple[tuple[str, str], str],
        rule: PathRule,
        members: Members,
        here: Place,
        alive: Alive,
        clash: Mapping[str, str],
    ) -> PathOutcome:
        facts: tuple[Any, ...] = (rule, here, *_facts(rule, members, alive, clash))
        old = before.get(key)
        outcome = old[1] if old and old[0] == facts else _path(rule, members, here, facts[2:], clash)
        self._paths[key] = (facts, outcome)
        return outcome


class _Addresses:
    """Which clusters have which pod addresses, kept up to date by what changes."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Service], Found] = {}
        self._owners: dict[str, tuple[str, ...]] = {}  # by address, a cluster as often as it has it
        self._alone: dict[str, tuple[str, ...]] = {}  # of most addresses there is one owner, and few of these
        self._shared: set[str] = set()
        self._policies: Sequence[Policy] = ()
        self._services: dict[str, list[Service]] = {}  # by namespace

    def clashes(self, policies: Sequence[Policy], members: Members) -> Steps[dict[str, str]]:
        """Return the clusters that have an address which an older one has, too, each with that one."""
        if policies is not self._policies:
            self._policies = policies
            self._services = defaultdict(list)
            for service in sorted({service for policy in policies for service, _ in policy.services}):
                self._services[service.namespace].append(service)
        before, self._found = self._found, {}
        for name, view in members.views.items():
            for service in [one for namespace in view.synced for one in self._services.get(namespace, ())]:
                found = look(view, service)
                old = before.pop((name, service), None)
                if old is not found:
                    self._move(name, old, found)
                self._found[name, service] = found
                yield
        for (name, _), old in before.items():
            self._move(name, old, Found())
        return self._judge(list(members.views))

    def _move(self, name: str, old: Found | None, new: Found) -> None:
        for address in new.addresses:
            self._own(address.ip, (*self._owners.get(address.ip, ()), name))
        for address in old.addresses if old else ():
            owners = list(self._owners[address.ip])
            owners.remove(name)
            self._own(address.ip, tuple(owners))

    def _own(self, ip: str, owners: tuple[str, ...]) -> None:
        if owners:
            self._owners[ip] = self._alone.setdefault(owners[0], owners) if len(owners) == 1 else owners
        else:
            self._owners.pop(ip, None)
        (self._shared.add if len(set(owners)) > 1 else self._shared.discard)(ip)

    def _judge(self, order: list[str]) -> dict[str, str]:
        result: dict[str, str] = {}
        for ip in sorted(self._shared):
            owner, *others = sorted(set(self._owners[ip]), key=order.index)
            for other in others:
                result.setdefault(other, owner)
        return result


def _facts(
    rule: PathRule, members: Members, alive: Alive, clash: Mapping[str, str]
) -> Iterator[tuple[str, Found | None, bool, Place | None, bool]]:
    """Yield what a path's outcome depends on: each known cluster's name, addresses, staleness, place and rejection."""
    backend = rule.backend
    if backend is None:
        return
    for name in members.views if backend.entries is None else (entry.cluster for entry in backend.entries):
        view = members.views.get(name)
        if view is not None:
            found = _found(view, backend.service, alive, clash)
            yield name, found, view.stale, members.places.get(name), name in clash


def _path(rule: PathRule, members: Members, here: Place, facts: Iterable[Any], clash: Mapping[str, str]) -> PathOutcome:
    backend = rule.backend
    if backend is None:
        return PathOutcome(rule, Split(()), ())
    found: dict[str, Found | None] = {name: what for name, what, *_ in facts}
    candidates = [_candidate(name, backend, found.get(name), members, here, clash) for name in _names(backend, found)]
    shares = split(candidates, fail_on_empty=backend.fail_on_empty, min_ready_percent=backend.min_ready_percent)
    return PathOutcome(rule, shares, tuple(Part(name, what) for name, what in found.items()))


def _names(backend: Backend, found: Mapping[str, Found | None]) -> list[str]:
    """Return the clusters that count: those that the policy names, or all that have the Service."""
    if backend.entries is not None:
        return [entry.cluster for entry in backend.entries]
    return [name for name, what in found.items() if what is None or what.reason != TrafficReason.SERVICE_NOT_FOUND]


def _found(view: MemberView, service: Service, alive: Alive, clash: Mapping[str, str]) -> Found | None:
    if service.namespace not in view.synced:
        return None
    if view.name in clash:
        text = f"cluster {view.name} has pod addresses that cluster {clash[view.name]} has, too"
        return Found(reason=TrafficReason.OVERLAPPING_CIDR, text=text)
    found = look(view, service)
    return without_dead(found, view.name, alive) if view.expired else found


def _candidate(
    name: str, backend: Backend, found: Found | None, members: Members, here: Place, clash: Mapping[str, str]
) -> Candidate:
    entry = next((e for e in backend.entries or () if e.cluster == name), None)
    view = members.views.get(name)
    return Candidate(
        name=name,
        weight=entry.weight if entry else None,
        priority=entry.priority if entry else 0,
        distance=distance(here, members.places.get(name, Place())) if backend.local_first else NEAR,
        ready=len(found.addresses) if found else 0,
        total=found.total if found else 0,
        stale=bool(view and view.stale),
        unknown=view is None,
        rejected=name in clash,
        reason=(found.reason if found else TrafficReason.NOT_SYNCED) if view else TrafficReason.CLUSTER_NOT_FOUND,
    )
