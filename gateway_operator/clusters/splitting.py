"""From policies and gateways to what each gateway is told. Pure.

A gateway's policies are settled among themselves, so that the loser of one gateway may win at another. What doesn't
fit into a gateway's config is left out, the newest first: a policy that served yesterday is never pushed out by one of
today.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway_operator.clusters.conflicts import settle
from gateway_operator.clusters.evaluation import Members, Place, PolicyOutcome, distance
from gateway_operator.clusters.grants import Grants, may_use
from gateway_operator.clusters.mirror import mirror_name
from gateway_operator.clusters.pace import Steps, at_once
from gateway_operator.clusters.policies import Backend, PathRule, Policy
from gateway_operator.traffic import config as split
from gateway_operator.traffic.gateways import Assignment, Gateway
from gateway_operator.traffic.shares import State

LIMIT = 700_000  # bytes; a ConfigMap holds a megabyte, and Helm stores values and manifest together
_FRAME = 100  # bytes around the policies

Key = tuple[str, str]


@dataclass(frozen=True)
class Settled:
    """Policies without what they lose: of each gateway, and once more all of them, with what they have anywhere.

    `grants` are the namespaces that may use an owner's hosts, too.
    """

    policies: tuple[Policy, ...]
    by_gateway: Mapping[Key, tuple[Policy, ...]]
    grants: Grants = field(default_factory=dict)


def settle_all(policies: Sequence[Policy], gateways: Iterable[Gateway], grants: Grants | None = None) -> Settled:
    """Settle what policies of one gateway want, or of one class where no gateway serves it."""
    granted = may_use(grants or {})

    def shared(_host: str, owner: str, other: str) -> bool:
        return granted(other, owner)

    by_gateway: dict[Key, tuple[Policy, ...]] = {}
    found: dict[Key, list[Policy]] = {}
    for gateway in gateways:
        served = tuple(settle((p for p in policies if gateway.serves(p.namespace, p.ingress_class)), shared=shared))
        by_gateway[gateway.key] = served
        for policy in served:
            found.setdefault(policy.key, []).append(policy)
    rest = [policy for policy in policies if policy.key not in found]
    for name in sorted({policy.ingress_class for policy in rest}):
        for policy in settle((p for p in rest if p.ingress_class == name), shared=shared):
            found[policy.key] = [policy]
    whole = [_joined(policy, found[policy.key]) for policy in policies]
    return Settled(tuple(sorted(whole, key=lambda policy: policy.age)), by_gateway, grants or {})


def _joined(policy: Policy, forms: Sequence[Policy]) -> Policy:
    """Return a policy with the paths that it has at any gateway, and the problems of all."""
    if len(forms) == 1:
        return forms[0]
    kept = {path.where for form in forms for path in form.paths}
    problems = dict.fromkeys(problem for form in forms for problem in form.problems)
    contests = dict.fromkeys(contest for form in forms for contest in form.contests)
    paths = tuple(path for path in policy.paths if path.where in kept)
    return replace(policy, paths=paths, problems=tuple(problems), contests=tuple(contests))


class Splitter:
    """Writes configs again and again; what nothing happened to costs nothing."""

    def __init__(self) -> None:
        self._written: dict[tuple[Key, Key], tuple[tuple[object, ...], split.Policy, int]] = {}
        self._assigned: dict[Key, tuple[tuple[object, ...], Assignment]] = {}

    def run(
        self, settled: Settled, outcomes: Iterable[PolicyOutcome], members: Members, here: Place
    ) -> dict[Key, Assignment]:
        """Return what each gateway is told."""
        return at_once(self.steps(settled, outcomes, members, here))

    def steps(
        self, settled: Settled, outcomes: Iterable[PolicyOutcome], members: Members, here: Place
    ) -> Steps[dict[Key, Assignment]]:
        """Do the same in steps."""
        rejected = {outcome.policy.key: _rejected(outcome) for outcome in outcomes}
        before, self._written = self._written, {}
        known, self._assigned = self._assigned, {}
        places = dict(members.places)
        stand = tuple(places.items())
        for gateway, policies in settled.by_gateway.items():
            parts = []
            for policy in policies:
                facts = (policy, stand, rejected.get(policy.key), here)
                old = before.get((gateway, policy.key))
                if old is None or old[0] != facts:
                    written = _policy(policy, places, rejected.get(policy.key) or frozenset(), here)
                    old = (facts, written, len(split.dump_policy(written).encode()) + 1)
                self._written[gateway, policy.key] = old
                parts.append(old)
                yield
            marks = (settled.grants, *(id(written) for _, written, _ in parts))
            last = known.get(gateway)
            same = last is not None and last[0] == marks
            self._assigned[gateway] = last if last is not None and same else (marks, _assignment(parts, settled.grants))
        return {key: found for key, (_, found) in self._assigned.items()}


def _assignment(parts: Sequence[tuple[object, split.Policy, int]], grants: Grants) -> Assignment:
    """Take policies, the oldest first, for as long as there is room."""
    room, taken, left = LIMIT - _FRAME, [], []
    for _, policy, size in parts:
        if policy.paths and size > room:
            left.append(policy.key)
            room = 0  # else a small new one would be served and a big old one not
        elif policy.paths:
            room -= size
            taken.append(policy)
    owners = {policy.namespace for policy in taken}
    needed = {name: to for name, to in grants.items() if name in owners}
    return Assignment(split.SplitConfig.of(taken, needed) if taken else None, tuple(left))


def _policy(
    policy: Policy, places: Mapping[str, Place], rejected: frozenset[tuple[str, str]], here: Place
) -> split.Policy:
    return split.Policy(
        namespace=policy.namespace,
        name=policy.name,
        uid=policy.uid,
        created=policy.created,
        paths=tuple(_path(policy, rule, places, rejected, here) for rule in policy.paths),
    )


def _path(
    policy: Policy, rule: PathRule, places: Mapping[str, Place], rejected: frozenset[tuple[str, str]], here: Place
) -> split.Path:
    backend = _backend(policy, rule, rule.backend, places, rejected, here) if rule.backend else None
    type_ = split.PATH_TYPE.validate_python(rule.path_type)
    return split.Path(where=rule.where, host=rule.host, type=type_, path=rule.path, backend=backend)


def _backend(
    policy: Policy,
    rule: PathRule,
    backend: Backend,
    places: Mapping[str, Place],
    rejected: frozenset[tuple[str, str]],
    here: Place,
) -> split.Backend:
    entries = {entry.cluster: entry for entry in backend.entries or ()}
    clusters = []
    for name in sorted(entries if backend.entries is not None else places):
        entry = entries.get(name)
        usable = name in places and (rule.where, name) not in rejected
        clusters.append(
            split.Cluster(
                name=name,
                weight=entry.weight if entry else None,
                priority=entry.priority if entry else 0,
                distance=distance(here, places.get(name, Place())) if backend.local_first else 0,
                mirror=mirror_name(policy.key, backend.service, name) if usable else "",
            )
        )
    service = backend.service
    return split.Backend(
        service=split.Service(namespace=service.namespace, name=service.name, port=str(service.port)),
        split_key=split.SplitKey.model_validate({"type": backend.key_type, "name": backend.key_name}),
        fail_on_empty=backend.fail_on_empty,
        min_ready_percent=backend.min_ready_percent,
        sticky=split.Sticky(cookie=backend.sticky_cookie, seconds=backend.sticky_seconds)
        if backend.sticky_cookie
        else None,
        clusters=tuple(clusters),
    )


def _rejected(outcome: PolicyOutcome) -> frozenset[tuple[str, str]]:
    """Return the clusters that must not be used, each with its path."""
    return frozenset(
        (path.rule.where, share.name)
        for path in outcome.paths
        for share in path.split.shares
        if share.state is State.REJECTED
    )
