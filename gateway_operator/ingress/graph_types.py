"""The validated graph as plain data: hosts, their routes, and what each refers to, already looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway_operator.ingress.annotation_readers import AuthUrl
from gateway_operator.ingress.certificates import Facts, Pair
from gateway_operator.ingress.endpoints import BackendKey
from gateway_operator.ingress.parse import IngressRules
from gateway_operator.ingress.plan import Authority, Endpoint, PasswordFile
from gateway_operator.ingress.policies import Ciphers
from gateway_operator.ingress.problems import Problem
from gateway_operator.ingress.split_types import HostSplit


class ServedCertificate(NamedTuple):
    """Which Secret a host's certificate is from, when it ends (in seconds since 1970), and what it says of itself."""

    host: str
    namespace: str
    secret: str
    expires: float
    facts: Facts


@dataclass(frozen=True)
class Backend:
    """A Service's port as a route sees it; its addresses change without the route and stand in `Graph.endpoints`."""

    namespace: str
    service: str
    port: str
    key: BackendKey
    alive: bool


@dataclass(frozen=True)
class Auth:
    """Who decides about requests: the URL, and the backend behind its host (spoken to with TLS or without)."""

    url: AuthUrl
    backend: Backend
    tls: bool
    is_global: bool = False


@dataclass(frozen=True)
class Access:
    """What one Ingress names in one host, looked up. `closed` says why its paths must answer 503."""

    closed: str = ""
    passwords: PasswordFile | None = None
    auth: Auth | None = None
    pair: Pair | None = None
    authority: Authority | None = None
    error_backend: Backend | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class HostCanary:
    """An alternative to a route's backend, from a canary Ingress."""

    backend: Backend
    rules: IngressRules


@dataclass(frozen=True)
class HostRoute:
    """One path of a host and the Ingress that won it; `app_root` makes it a redirect."""

    path: str
    exact: bool
    backend: Backend
    rules: IngressRules
    regex: bool = False
    access: Access = Access()
    canaries: tuple[HostCanary, ...] = ()
    app_root: str = ""
    split: HostSplit | None = None
    plain: bool = False  # matches whatever begins with these characters


@dataclass(frozen=True)
class HostTls:
    """The host answers TLS; without a pair with the default certificate."""

    rules: IngressRules
    pair: Pair | None


@dataclass(frozen=True)
class HostClients:
    """Client certificates are asked for, by the word of one Ingress."""

    rules: IngressRules
    authority: Authority


@dataclass(frozen=True)
class Host:
    """Everything that is served under one host; `fallback` takes what no route matches.

    `aliases` are further names of it, `www` is a name that is redirected to it, `closed` says why all of it answers
    503, and `passthrough` is where its TLS goes unopened.
    """

    name: str
    routes: tuple[HostRoute, ...]
    tls: HostTls | None
    fallback: HostRoute | None
    clients: HostClients | None = None
    closed: str = ""
    passthrough: HostRoute | None = None
    aliases: tuple[str, ...] = ()
    www: str = ""
    www_owner: IngressRules | None = None
    ciphers: Ciphers | None = None


@dataclass(frozen=True)
class Port:
    """A port that is passed on as a stream."""

    port: int
    protocol: str
    backend: Backend
    accept_proxy: bool = False
    send_proxy: bool = False


@dataclass(frozen=True)
class Graph:
    """The validated whole. `orphans` counts backends by what they lack, for the metric.

    `names` are the DNS names that must be resolved outside; `secrets` and `configmaps` are those that Ingresses name
    beside their certificates.
    """

    hosts: tuple[Host, ...]
    default_backend: Backend | None
    default_pair: Pair | None
    problems: tuple[Problem, ...]
    orphans: tuple[tuple[str, str, str], ...]
    certificates: tuple[ServedCertificate, ...]
    endpoints: Mapping[BackendKey, tuple[Endpoint, ...]] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    names: frozenset[str] = frozenset()
    secrets: frozenset[tuple[str, str]] = frozenset()
    configmaps: frozenset[tuple[str, str]] = frozenset()
    totals: Mapping[BackendKey, int] = field(default_factory=dict)  # of mirrors: all endpoints, ready or not
    down: frozenset[str] = frozenset()  # clusters that probes can't reach
    cut: frozenset[str] = frozenset()  # those of them whose connections aren't waited for any more
