"""Whose answer a request gets, and why: the rules of policies, applied to one host and path. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway_operator.clusters.evaluation import Place, distance
from gateway_operator.clusters.policies import DEFAULT, Backend, PathRule, Policy
from gateway_operator.traffic.shares import Candidate, Share, percent, split


@dataclass(frozen=True)
class Match:
    """A path of a policy that wants the request."""

    policy: Policy
    rule: PathRule


def match(policies: Iterable[Policy], host: str, path: str) -> Match | None:
    """Find who answers: the host's own rules, else those of its wildcard, else of no host; then default backends.

    `policies` are settled. In a host Exact comes first, then the longest prefix.
    """
    rules = [Match(policy, rule) for policy in policies for rule in policy.paths]
    hosts = {found.rule.host for found in rules if found.rule.path_type != DEFAULT}
    wildcard = f"*.{host.partition('.')[2]}"
    chosen = next((name for name in (host.lower(), wildcard.lower(), "") if name in hosts), None)
    fitting = [
        found
        for found in rules
        if found.rule.path_type != DEFAULT and found.rule.host == chosen and _fits(found.rule, path)
    ]
    if fitting:
        return max(fitting, key=lambda found: _rank(found.rule))
    return next((found for found in rules if found.rule.path_type == DEFAULT), None)


def _fits(rule: PathRule, path: str) -> bool:
    if rule.path_type == "Exact":
        return path == rule.path
    if rule.path_type == "ImplementationSpecific":
        return path.startswith(rule.path)
    prefix = rule.path.rstrip("/")
    return path == prefix or path.startswith(f"{prefix}/")


def _rank(rule: PathRule) -> tuple[bool, int, bool]:
    return rule.path_type == "Exact", len(rule.path.rstrip("/")), rule.path_type == "Prefix"


def supposed(backend: Backend, places: Mapping[str, Place], here: Place) -> Sequence[Share]:
    """Return the shares as they were if every cluster had one ready endpoint."""
    entries = {entry.cluster: entry for entry in backend.entries or ()}
    names = list(entries) if backend.entries is not None else sorted(places)
    candidates = [
        Candidate(
            name,
            weight=entries[name].weight if name in entries else None,
            priority=entries[name].priority if name in entries else 0,
            distance=distance(here, places.get(name, Place())) if backend.local_first else 0,
            ready=1,
            total=1,
            unknown=bool(places) and name not in places,
        )
        for name in names
    ]
    return split(candidates, fail_on_empty=backend.fail_on_empty, min_ready_percent=backend.min_ready_percent).shares


def reasons(backend: Backend) -> list[str]:
    """Say in words what decides about the shares."""
    entries = backend.entries
    if entries is None:
        found = ["no clusters are listed: every member that has the Service, in proportion to ready endpoints"]
    elif entries and entries[0].weight is None:
        found = ["no weights: in proportion to ready endpoints"]
    else:
        whole = sum(entry.weight or 0 for entry in entries)
        found = [f"weights: {', '.join(f'{e.cluster} {e.weight}' for e in entries)}, of {whole}"]
    tiers = sorted({entry.priority for entry in entries or ()})
    if len(tiers) > 1:
        names = ["+".join(e.cluster for e in entries or () if e.priority == tier) for tier in tiers]
        found.append(f"priority: {', then '.join(names)}")
    key = f"{backend.key_type} {backend.key_name}".strip()
    found += [f"split by {key}"] if backend.key_type != "Request" else []
    found += ["local clusters first"] if backend.local_first else []
    found += ["a cluster without ready endpoints: 503 for its share"] if backend.fail_on_empty else []
    if backend.min_ready_percent:
        found.append(f"full share only with {backend.min_ready_percent} % of the endpoints ready")
    found += [f"clients stay, by the cookie {backend.sticky_cookie}"] if backend.sticky_cookie else []
    return found


def rows(shares: Iterable[Share]) -> list[dict[str, object]]:
    """Return shares as a status has them."""
    return [
        {
            "name": share.name,
            "desired": percent(share.desired),
            "effective": percent(share.effective),
            "state": str(share.state),
            "reason": share.reason,
        }
        for share in shares
    ]
