"""What the dynamic renderer keeps between two renderings, so that one costs what has changed and not all hosts.

The planner hands out the same objects for what didn't change. Those that came or went alter the data, the places and
a few facts about all hosts; a fresh `Cache` that takes the same plan holds the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from gateway_operator.ingress.memo import Line, Members
from gateway_operator.ingress.ordered import Ordered
from gateway_operator.ingress.plan import Authority, Certificate, Plan, Server, Split, Upstream
from gateway_operator.ingress.policies import Balancing
from gateway_operator.ingress.render.dynamic_data import HostEntry, dump, host_entry, pair_entry, upstream_entry
from gateway_operator.ingress.render.dynamic_places import Place
from gateway_operator.ingress.render.dynamic_splits import split_entry
from gateway_operator.ingress.render.stream import streamed

Files = Mapping[str, bytes]
T = TypeVar("T")


@dataclass(frozen=True)
class Outline:
    """What the text follows from.

    `plan` has nothing but what the text may look at: a server without routes, one more where clients show
    certificates, the upstreams of streams and one without endpoints for each other way of balancing, certificates for
    TLS to backends. `observed`: some request must be looked at when it ends.
    """

    plan: Plan
    places: tuple[Place, ...]
    observed: bool


class Cache:
    """Takes one plan after the other. `data` and `needs` are those of the last one."""

    def __init__(self) -> None:
        self.data = Line[str, bytes]()
        self.needs = Line[str, frozenset[str]]()
        self._servers = Members[Server]()
        self._upstreams = Members[Upstream]()
        self._certificates = Members[Certificate]()
        self._authorities = Members[Authority]()
        self._splits = Members[Split]()
        self._cut: tuple[str, ...] = ()
        self._refused: frozenset[str] = frozenset()
        self._hosts: dict[str, tuple[Server, bool, HostEntry]] = {}
        self._places: dict[str, Ordered[str, tuple[Place, str]]] = {}
        self._known: dict[str, tuple[Upstream, bool]] = {}
        self._tls = Counter[str]()  # upstreams that are spoken to with TLS
        self._observed = 0
        self._balancings = Counter[Balancing]()
        self._probed: set[str] = set()
        self._with_clients = Ordered[str, Server]()
        self._pairs: dict[str, Certificate] = {}
        self._printed: tuple[Outline, Files] | None = None

    def take(self, plan: Plan) -> None:
        """Follow a plan."""
        self._take_certificates(plan)
        concerned = self._take_servers(plan, self._take_authorities(plan))
        self._take_upstreams(plan.upstreams, concerned)
        self._take_splits(plan)

    def _take_certificates(self, plan: Plan) -> None:
        gone, came = self._certificates.turn(plan.certificates)
        for item in gone:
            self.data.drop(f"c:{item.id}")
            self._pairs.pop(item.id, None)
        for item in came:
            self.data.put(f"c:{item.id}", pair_entry(item))
            self._pairs[item.id] = item

    def _take_authorities(self, plan: Plan) -> frozenset[str]:
        """Follow the authorities; returns those that can't be used now, but could before, and the other way round."""
        gone, came = self._authorities.turn(plan.authorities)
        for item in gone:
            self.data.drop(f"a:{item.id}")
        for item in came:
            self.data.put(f"a:{item.id}", item.pem)
        before = self._refused
        if gone or came:
            self._refused = with_revocation(plan)
        return before ^ self._refused

    # --- hosts

    def _take_servers(self, plan: Plan, turned: frozenset[str]) -> set[str]:
        """Follow the hosts; returns the upstreams of those that changed which are, or were, spoken to with TLS."""
        gone, came = self._servers.turn(plan.servers)
        former = {server.host: self._forget(server) for server in gone}
        for server in self._with_clients.all() if turned else ():
            if server.client_auth is not None and server.client_auth.authority in turned:
                former[server.host] = self._forget(server)
                came.append(server)
        concerned: set[str] = set().union(*(entry.tls_upstreams for _, _, entry in former.values()))
        stale = {name for server, _, _ in former.values() for name in _names(server)}
        for server in came:
            entry = self._remember(server, former.get(server.host))
            concerned |= entry.tls_upstreams
            for name in _names(server):
                self.data.put(f"h:{name}", entry.text)
                self.needs.put(f"h:{name}", entry.files)
                stale.discard(name)
        for name in stale:
            self.data.drop(f"h:{name}")
            self.needs.drop(f"h:{name}")
        return concerned

    def _remember(self, server: Server, former: tuple[Server, bool, HostEntry] | None) -> HostEntry:
        refuse = refuses(server, self._refused)
        if former is not None and former[:2] == (server, refuse):
            entry = former[2]
        else:
            entry = host_entry(server, refuse_clients=refuse)
        self._hosts[server.host] = (server, refuse, entry)
        for identity, place in entry.places.items():
            self._places.setdefault(identity, Ordered()).put(server.host, place)
        self._tls.update(entry.tls_upstreams)
        self._observed += entry.observed
        if server.client_auth is not None:
            self._with_clients.put(server.host, server)
        return entry

    def _forget(self, server: Server) -> tuple[Server, bool, HostEntry]:
        found = self._hosts.pop(server.host)
        entry = found[2]
        for identity in entry.places:
            self._places[identity].drop(server.host)
            if self._places[identity].first() is None:
                del self._places[identity]
        _take_away(self._tls, entry.tls_upstreams)
        self._observed -= entry.observed
        self._with_clients.drop(server.host)
        return found

    # --- upstreams

    def _take_upstreams(self, upstreams: tuple[Upstream, ...], concerned: set[str]) -> None:
        gone, came = self._upstreams.turn(upstreams)
        fresh = {item.id for item in came}
        for item in gone:
            _take_away(self._balancings, [item.balancing])
            if item.id not in fresh:
                del self._known[item.id]
                self.data.drop(f"u:{item.id}")
        for item in came:
            self._balancings[item.balancing] += 1
        changed = [*came, *(self._known[key][0] for key in concerned - fresh if key in self._known)]
        for item in changed:
            self._put_upstream(item)
        probed = self._probed - {item.id for item in gone}
        probed |= {item.id for item in came if item.balancing.health_check}
        if probed != self._probed or self.data.get("hc") is None:
            self._probed = probed
            self.data.put("hc", dump(sorted(probed)))

    def _put_upstream(self, upstream: Upstream) -> None:
        now = (upstream, upstream.id in self._tls)
        if self._known.get(upstream.id) != now:
            self.data.put(f"u:{upstream.id}", upstream_entry(upstream, tls=now[1]))
        self._known[upstream.id] = now

    def _take_splits(self, plan: Plan) -> None:
        gone, came = self._splits.turn(plan.splits)
        for split in gone:
            self.data.drop(f"s:{split.id}")
        for split in came:
            self.data.put(f"s:{split.id}", split_entry(split))
        if plan.cut != self._cut:
            self._cut = plan.cut
            self.data.put("cut", dump(list(plan.cut)))
        if not plan.cut:
            self.data.drop("cut")

    # --- text

    def owners(self) -> dict[str, tuple[tuple[int, str], ...]]:
        """Return who is behind each file of a place: the first host that uses it."""
        first = [users.all()[0] for users in self._places.values()]
        return {name: ((1, owner),) for place, owner in first for name in (place.file, place.pool_file)}

    def files(self, plan: Plan, make: Callable[[Outline], Files]) -> Files:
        """Return what `make` prints of the plan's outline; it isn't asked again for an equal one."""
        outline = self._outline(plan)
        if self._printed is None or self._printed[0] != outline:
            self._printed = (outline, make(outline))
        return self._printed[1]

    def _outline(self, plan: Plan) -> Outline:
        places = tuple(self._places[identity].all()[0][0] for identity in sorted(self._places))
        clients = self._with_clients.first()
        backends = [item.profile.tls for item in places if item.profile.tls]
        pairs = {plan.default_certificate, *(tls.pair for tls in backends if tls.pair)}
        authorities = {tls.authority for tls in backends}
        slim = replace(
            plan,
            servers=(_NOBODY, *([replace(_NOBODY, client_auth=clients.client_auth)] if clients else [])),
            upstreams=(*self._streamed(plan), *(Upstream("", (), item) for item in sorted(self._balancings, key=repr))),
            certificates=tuple(self._pairs[key] for key in sorted(pairs) if key in self._pairs),
            authorities=tuple(item for item in plan.authorities if item.id in authorities),
        )
        return Outline(slim, places, bool(self._observed))

    def _streamed(self, plan: Plan) -> Iterable[Upstream]:
        return [self._known[key][0] for key in sorted(streamed(plan)) if key in self._known]


_NOBODY = Server("", "", ())


def _names(server: Server) -> tuple[str, ...]:
    return (server.host, *server.aliases)


def _take_away(counter: Counter[T], items: Iterable[T]) -> None:
    for item in items:
        counter[item] -= 1
        if not counter[item]:
            del counter[item]


def with_revocation(plan: Plan) -> frozenset[str]:
    """Return the ids of authorities with a revocation list, which Lua can't check."""
    return frozenset(item.id for item in plan.authorities if b"X509 CRL" in item.pem)


def refuses(server: Server, refused: frozenset[str]) -> bool:
    """Tell whether nobody may come to a host, because its clients' certificates can't be checked."""
    return server.client_auth is not None and server.client_auth.authority in refused
