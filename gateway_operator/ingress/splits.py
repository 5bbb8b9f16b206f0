"""Splits with their shares of this moment: a policy's path, its clusters' endpoints and the probes' word together.

Shares move with endpoints, so they are made here, beside the upstreams, and not in the host: a host that didn't change
keeps its part of the plan. A cluster that probes call down counts as empty; when all of a path's are called down the
probes are not believed, and weights hold as if nobody had asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway_operator.ingress.endpoints import BackendKey
from gateway_operator.ingress.plan import Endpoint, Split, SplitPart, stable_id
from gateway_operator.ingress.split_types import SplitNeed
from gateway_operator.traffic.config import Backend, Cluster
from gateway_operator.traffic.shares import Candidate, Share, split

UNREACHABLE = "Unreachable"
_NOBODY = BackendKey("", "", "")
KEYS = {"Request": "request", "ClientIP": "client", "Header": "header", "Cookie": "cookie"}


@dataclass(frozen=True)
class Made:
    """A split of the plan, why it is so, and the endpoints of its clusters."""

    need: SplitNeed
    split: Split
    shares: tuple[Share, ...]
    endpoints: Mapping[str, tuple[Endpoint, ...]]


@dataclass(frozen=True)
class Moment:
    """What moves: endpoints by mirror, how many there are with those that aren't ready, and clusters called down."""

    endpoints: Mapping[BackendKey, tuple[Endpoint, ...]]
    totals: Mapping[BackendKey, int]
    down: frozenset[str] = frozenset()


class Splits:
    """The splits of all hosts, made again when what they depend on moves."""

    def __init__(self) -> None:
        self._made: dict[str, Made] = {}
        self._by_key: dict[BackendKey, set[str]] = {}
        self._now = Moment({}, {})
        self._listed: tuple[Made, ...] | None = ()
        self._plain: tuple[Split, ...] = ()

    def follow(self, moved: Iterable[BackendKey], now: Moment) -> None:
        """Take what moved; `moved` are the mirrors whose endpoints may differ."""
        old, self._now = self._now, now
        if not self._made:
            return
        concerned = {identity for key in moved for identity in self._by_key.get(key, ())}
        if old.down != now.down:
            concerned = set(self._made)
        elif old.totals != now.totals:
            keys = {key for key in old.totals.keys() | now.totals.keys() if old.totals.get(key) != now.totals.get(key)}
            concerned |= {identity for key in keys for identity in self._by_key.get(key, ())}
        for identity in concerned:
            self._put(self._made[identity].need)

    def swap(self, old: Mapping[str, SplitNeed], new: Mapping[str, SplitNeed]) -> None:
        """Replace one host's splits."""
        for identity, need in old.items():
            if identity not in new:
                del self._made[identity]
                self._listed = None
            for key in need.path.members().values():
                self._by_key[key].discard(identity)
        for identity, need in new.items():
            for key in need.path.members().values():
                self._by_key.setdefault(key, set()).add(identity)
            self._put(need)

    def _put(self, need: SplitNeed) -> None:
        made = make(need, self._now)
        if self._made.get(need.id) != made:
            self._made[need.id] = made
            self._listed = None

    def all(self) -> tuple[Made, ...]:
        """Return all splits, sorted by id."""
        if self._listed is None:
            self._listed = tuple(self._made[identity] for identity in sorted(self._made))
            self._plain = tuple(item.split for item in self._listed)
        return self._listed

    def addresses(self, clusters: frozenset[str]) -> tuple[str, ...]:
        """Return the endpoints of clusters, as address and port, sorted."""
        if not clusters:
            return ()
        found = {item for made in self._made.values() for name in clusters for item in made.endpoints.get(name, ())}
        return tuple(sorted(str(item) for item in found))

    @property
    def plain(self) -> tuple[Split, ...]:
        """The splits as the plan has them."""
        self.all()
        return self._plain


def make(need: SplitNeed, now: Moment) -> Made:
    """Give a split its shares of this moment."""
    backend, members = need.path.backend, need.path.members()
    if backend is None:
        return Made(need, Split(need.id, labels=_labels(need)), (), {})
    found = {name: now.endpoints.get(key, ()) for name, key in members.items()}
    candidates = [
        _candidate(item, found.get(item.name, ()), now.totals.get(members.get(item.name, _NOBODY), 0))
        for item in backend.clusters
    ]
    reachable = any(item.ready and item.name not in now.down for item in candidates)
    down = now.down if reachable else frozenset()
    seen = [replace(item, ready=0, reason=UNREACHABLE) if item.name in down else item for item in candidates]
    shares = split(seen, fail_on_empty=backend.fail_on_empty, min_ready_percent=backend.min_ready_percent).shares
    upstreams = {name: identity for name, identity in need.upstreams if name not in down}
    return Made(need, _split(need, backend, shares, upstreams), shares, found)


def _candidate(item: Cluster, endpoints: tuple[Endpoint, ...], total: int) -> Candidate:
    ready = len(endpoints)
    return Candidate(
        item.name, item.weight, item.priority, item.distance, ready, max(total, ready), unknown=not item.mirror
    )


def _split(need: SplitNeed, backend: Backend, shares: tuple[Share, ...], upstreams: Mapping[str, str]) -> Split:
    parts = tuple(
        SplitPart(share.name, _tag(need, share.name), upstreams.get(share.name), share.effective)
        for share in shares
        if share.effective or share.name in upstreams
    )
    answers = any(part.share for part in parts)
    nearness = {item.name: (item.priority, item.distance) for item in backend.clusters}
    able = [part for part in parts if part.upstream and answers and not backend.fail_on_empty]
    spare = sorted(able, key=lambda part: (nearness[part.cluster], -part.share, part.cluster))
    return Split(
        need.id,
        *_key(backend),
        parts if answers else (),
        tuple(part.cluster for part in spare),
        backend.sticky.cookie if backend.sticky else None,
        backend.sticky.seconds if backend.sticky else 0,
        retry_after=True,
        labels=_labels(need),
    )


def _key(backend: Backend) -> tuple[str, str]:
    """Return what decides; a header or cookie without a name decides nothing."""
    kind, name = KEYS[backend.split_key.type], backend.split_key.name
    if kind in {"request", "client"}:
        return kind, ""
    return (kind, name) if name else ("request", "")


def _tag(need: SplitNeed, cluster: str) -> str:
    """Name a cluster in cookies, so that its own name isn't told."""
    return stable_id("cluster", need.path.namespace, cluster)[:8]


def _labels(need: SplitNeed) -> tuple[str, str, str, str]:
    path = need.path
    return (path.namespace, path.policy, path.config.host.lower(), path.config.path or "/")
