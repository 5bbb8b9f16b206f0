"""All Ingresses folded into hosts, and only those hosts folded anew that a change concerns.

The unit is the host: `host_fold` builds one from the Ingresses that name it. An index leads from each Secret, ConfigMap
and backend to the hosts that asked for it; a host that nothing concerns keeps its identical object, so the steps after
this one can tell by identity what changed. A full build is the same fold with everything new.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway_operator.ingress.certificates import Pair
from gateway_operator.ingress.endpoints import FIRST_PORT, BackendKey, Resolved
from gateway_operator.ingress.gateway_config import GatewayConfig, read_config
from gateway_operator.ingress.graph_types import Backend, Graph, Host, HostRoute, HostTls, ServedCertificate
from gateway_operator.ingress.host_fold import Claim, Folded, fold_host
from gateway_operator.ingress.lookup import Lookup, Need, World
from gateway_operator.ingress.memo import Gathered, Members, changed
from gateway_operator.ingress.names_claimed import NameClaims
from gateway_operator.ingress.ordered import Ordered
from gateway_operator.ingress.parse import IngressRules, parse_ingress
from gateway_operator.ingress.ports import read_ports
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.references import backend_of
from gateway_operator.ingress.snapshot import Key, Object, Snapshot
from gateway_operator.ingress.split_rules import PolicyRules, changed_policies
from gateway_operator.traffic.config import Policy, SplitConfig

__all__ = ["Backend", "Graph", "GraphBuilder", "Host", "HostRoute", "HostTls"]

_NO_CONFIG = Ref("ConfigMap", "", "", "", "v1")


class GraphBuilder:
    """Folds snapshots into graphs; it keeps what it learned of unchanged objects between passes."""

    def __init__(self, *, default_backend: str = "", default_certificate: str = "", passthrough: bool = False) -> None:
        self._default_backend = _key(default_backend)
        self._default_certificate = _key(default_certificate)
        self._passthrough = passthrough
        self._state = _State(read_config({}, _NO_CONFIG), passthrough=passthrough)

    def build(
        self, snapshot: Snapshot, *, config: GatewayConfig | None = None, left_out: frozenset[str] = frozenset()
    ) -> Graph:
        """Build the graph; Ingresses whose UIDs are in `left_out` are treated as absent.

        `config` is what the ConfigMap says; without it that of the snapshot is read.
        """
        config = config or read_config(snapshot.config, _NO_CONFIG, snapshot.configmaps)
        if config != self._state.config:
            self._state = _State(config, passthrough=self._passthrough)
        state = self._state
        state.take(snapshot, left_out)
        problems: list[Problem] = []
        ports, needed = read_ports(snapshot, state.world, problems)
        backend = self._backend(needed)
        pair = self._pair(snapshot)
        state.sweep(needed)
        return Graph(
            state.hosts(),
            backend,
            pair,
            state.problems(problems),
            state.orphans.all(),
            state.certificates.all(),
            state.world.endpoints,
            ports,
            frozenset(name for names in state.world.names.values() for name in names),
            frozenset(state.needs["named"].all()),
            config.configmaps.union(state.needs["configmap"].all()),
            state.world.totals,
            snapshot.down,
            snapshot.cut,
        )

    def _backend(self, needed: set[BackendKey]) -> Backend | None:
        if self._default_backend is None:
            return None
        key = BackendKey(*self._default_backend, FIRST_PORT)
        needed.add(key)
        return backend_of(key, self._state.world.backend(key))

    def _pair(self, snapshot: Snapshot) -> Pair | None:
        key = self._default_certificate
        secret = snapshot.secrets.get(key) if key else None
        found = self._state.world.pairs(key, secret) if key and secret else None
        return found if isinstance(found, Pair) else None


class _State:
    """What is known under one configuration."""

    def __init__(self, config: GatewayConfig, *, passthrough: bool) -> None:
        self.config = config
        self.world = World()
        self.folded: dict[str, Folded] = {}
        self.orphans = Gathered[tuple[str, str, str]]()
        self.certificates = Gathered[ServedCertificate]()
        self.needs = {kind: Gathered[Key]() for kind in ("named", "configmap")}
        self._problems = Gathered[Problem]()
        self._passthrough = passthrough
        self._members = Members[Object]()
        self._objects: dict[int, IngressRules] = {}
        self._kept: dict[int, IngressRules] = {}
        self._splits: SplitConfig | None = None
        self._policies: dict[Key, tuple[Policy, PolicyRules]] = {}
        self._by_host: dict[str, list[IngressRules]] = {"": []}
        self._users: dict[Need, set[str]] = {}
        self._unused: set[BackendKey] = set()
        self._needed: set[BackendKey] = set()
        self._claims = NameClaims()
        self._hosts = Ordered[str, Host]()
        self._dirty: set[str] = {""}

    # taking a snapshot

    def take(self, snapshot: Snapshot, left_out: frozenset[str]) -> None:
        """Compare with the last snapshot, and fold anew what differs."""
        old, self.world.snapshot = self.world.snapshot, snapshot
        self._compare_objects(old, snapshot)
        self._compare_ingresses(snapshot.ingresses, left_out)
        self._compare_policies(snapshot.splits)
        moved: set[str] = set()
        for name in self._dirty:
            moved |= self._fold(name)
        self._dirty = set()
        for name in self._claims.settle(self.folded.keys()) | moved:
            self._finish(name)

    def _compare_objects(self, old: Snapshot, new: Snapshot) -> None:
        secrets = changed(old.secrets, new.secrets)
        self.world.forget_secrets(secrets)
        for key in secrets:
            self._dirty |= self._users.get(("secret", key), set()) | self._users.get(("named", key), set())
        for key in changed(old.configmaps, new.configmaps):
            self._dirty |= self._users.get(("configmap", key), set())
        services: set[Key] = changed(old.services, new.services)
        slices: set[Key] = changed(old.slices, new.slices)
        names: set[str] = changed(old.names, new.names)
        self._resolve_again((*services, *slices, *names))

    def _resolve_again(self, things: Iterable[Key | str]) -> None:
        """Resolve what changed; its hosts are concerned only when it comes alive, dies, or fails in another way."""
        for key in self.world.concerned(things):
            known = self.world.backends[key]
            self.world.forget_backend(key)
            if _summary(self.world.backend(key)) != _summary(known):
                self._dirty |= self._users.get(("backend", key), set())

    def _compare_ingresses(self, objects: Sequence[Object], left_out: frozenset[str]) -> None:
        """Parse what is new, and drop what is gone."""
        gone, came = self._members.turn(objects)
        for obj in gone:
            del self._objects[id(obj)]
            self._problems.put(id(obj), ())
            self._drop(id(obj))
        for obj in came:
            rules = self._objects[id(obj)] = parse_ingress(obj, self.config.parse)
            self._problems.put(id(obj), rules.problems)
        looked_at: Iterable[int] = map(id, came)
        if left_out or len(self._kept) + len(came) != len(self._objects):  # somebody is to be left out, or was
            looked_at = list(self._objects)
        for number in looked_at:
            rules = self._objects[number]
            if rules.ref.uid in left_out:
                self._drop(number)
            elif number not in self._kept:
                self._add(number, rules)

    def _compare_policies(self, splits: SplitConfig | None) -> None:
        """Take the policies of another split config; one that is equal stays as it is."""
        if splits is self._splits:
            return
        old, self._splits = self._policies, splits
        self._policies = dict(changed_policies(splits, old))
        for key, (_, rules) in old.items():
            if self._policies.get(key, (None, None))[1] is not rules:
                self._problems.put(key, ())
                self._leave(rules)
        for key, (_, rules) in self._policies.items():
            if old.get(key, (None, None))[1] is not rules:
                self._problems.put(key, rules.problems)
                self._enter(rules)

    def _add(self, number: int, rules: IngressRules) -> None:
        self._kept[number] = rules
        self._enter(rules)

    def _enter(self, rules: IngressRules) -> None:
        for host in rules.hosts or ("",):
            bisect.insort(self._by_host.setdefault(host, []), rules, key=_age)
            self._dirty.add(host)

    def _drop(self, number: int) -> None:
        rules = self._kept.pop(number, None)
        if rules:
            self._leave(rules)

    def _leave(self, rules: IngressRules) -> None:
        for host in rules.hosts or ("",):
            self._by_host[host] = [item for item in self._by_host[host] if item is not rules]
            if not self._by_host[host] and host:
                del self._by_host[host]
            self._dirty.add(host)

    # one host

    def _fold(self, name: str) -> set[str]:
        """Fold one host anew, or forget it; returns the hosts whose finished form must be made."""
        old = self.folded.pop(name, None)
        for need in old.needs if old else ():
            self._users[need].discard(name)
            if not self._users[need]:
                del self._users[need]
                self._unused |= {need[1]} if need[0] == "backend" else set()
        ingresses = self._by_host.get(name)
        if ingresses is None:
            self._gather(name, None)
            self._claims.put(name, ())
            self._hosts.drop(name)
            return set()
        lookup = Lookup(self.world)
        folded = self.folded[name] = fold_host(name, ingresses, lookup, self.config, passthrough=self._passthrough)
        for need in folded.needs:
            self._users.setdefault(need, set()).add(name)
        self._gather(name, folded)
        self._claims.put(name, folded.claims)
        return {name}

    def _gather(self, name: str, folded: Folded | None) -> None:
        """Keep what a host adds to the sums."""
        self._problems.put(name, folded.problems if folded else ())
        self.orphans.put(name, folded.orphans if folded else ())
        self.certificates.put(name, folded.served if folded else ())
        for kind, needs in self.needs.items():
            needs.put(name, [need[1] for need in folded.needs if need[0] == kind] if folded else ())

    def _finish(self, name: str) -> None:
        """Give a host the further names that it won."""
        folded = self.folded.get(name)
        if folded is None:
            return
        won: list[Claim] = self._claims.won(folded.claims)
        www = next((claim for claim in won if claim.www), None)
        host = folded.host
        if won:
            aliases = tuple(claim.name for claim in won if not claim.www)
            host = replace(host, aliases=aliases, www=www.name if www else "", www_owner=www.rules if www else None)
        self._hosts.put(name, host)

    # what is known now

    def hosts(self) -> tuple[Host, ...]:
        return self._hosts.all()

    def problems(self, more: Iterable[Problem]) -> tuple[Problem, ...]:
        extra = set(more) | self._claims.problems
        return tuple(sorted(extra | set(self._problems.all()))) if extra else self._problems.all()

    def sweep(self, needed: set[BackendKey]) -> None:
        """Forget backends that nobody uses any more."""
        for key in (self._unused | self._needed) - needed:
            if ("backend", key) not in self._users:
                self.world.forget_backend(key)
        self._unused, self._needed = set(), needed


def _age(rules: IngressRules) -> tuple[str, str]:
    return rules.age_key


def _summary(found: Resolved) -> tuple[bool, str, str, str]:
    return bool(found.endpoints), found.port, found.reason, found.error


def _key(reference: str) -> Key | None:
    namespace, _, name = reference.partition("/")
    return (namespace, name) if name else None
