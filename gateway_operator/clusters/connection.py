"""What a member says: one credential at work, and the change from one credential to the next.

A connector asks the member's API server every few seconds whether it is there, and follows the Services and
EndpointSlices of the namespaces that policies need. A new credential gets a connector of its own, which takes over only
once it is proven and has read everything, so that no rotation loses an endpoint.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from gateway_operator.clusters.grouping import put_in, take_out
from gateway_operator.clusters.policies import Service
from gateway_operator.clusters.store import Found, Key, ServiceFacts, SliceFacts, strip_service, strip_slice
from gateway_operator.crds.traffic import TrafficReason
from gateway_operator.errors import ApiError, ConfigError, Forbidden, Unauthorized
from gateway_operator.kube import Api, Informer, Resource
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)
SERVICES = Resource("", "v1", "Service", "services", namespaced=True)
SLICES = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", namespaced=True)
_EVERY = 3.0  # seconds between two looks; with one more try a member is called away within ten
_AGAIN = 0.5
_PATIENCE = 2.5
_SMOOTHING = 0.2  # of the latency: what a single answer counts
_FINAL = frozenset({TrafficReason.FORBIDDEN, TrafficReason.CERTIFICATE_NOT_TRUSTED})

OnChange = Callable[[], None]


@dataclass(frozen=True)
class Health:
    """What the last look at an API server gave; `connected` None: nobody has looked yet. `seen` is monotonic."""

    connected: bool | None = None
    reason: TrafficReason = TrafficReason.CONNECTING
    text: str = "not asked yet"
    version: str = ""
    latency: float = 0.0
    seen: float = 0.0
    seen_at: datetime | None = None


def judge(error: Exception) -> tuple[TrafficReason, str]:
    """Return why a member can't be used, for the condition; nothing secret is in the text."""
    if isinstance(error, Unauthorized):
        return TrafficReason.UNAUTHORIZED, "the API server doesn't accept the credential; it may have expired"
    if isinstance(error, Forbidden):
        return TrafficReason.FORBIDDEN, f"the credential lacks a right: {error.message}"
    causes = list(_causes(error))
    if any(isinstance(cause, (ssl.SSLError, aiohttp.ClientSSLError)) for cause in causes):
        text = "the API server's certificate doesn't fit the kubeconfig's authority or server name"
        return TrafficReason.CERTIFICATE_NOT_TRUSTED, text
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return TrafficReason.TIMED_OUT, "the API server doesn't answer in time"
    if isinstance(error, ApiError):
        return TrafficReason.UNREACHABLE, error.message
    return TrafficReason.BAD_ANSWER, "what answers there is no Kubernetes API server"


def is_news(known: Health, found: Health, failures: int) -> bool:
    """Tell whether a look, the last of so many `failures` in a row, says something new.

    One slow answer of a busy API server doesn't, nor a single 401: each replica of an API server hears of a new token
    in its own time, and refuses it until then.
    """
    return bool(found.connected or not known.connected or failures > 1 or found.reason in _FINAL)


async def look_at(api: Api, namespace: str | None = None) -> tuple[str, float]:
    """Ask for the version, and try the rights in `namespace` ("" for all, None for none).

    Returns the version and the seconds that its answer took. Raises ApiError, ConfigError, TimeoutError or ValueError.
    """
    started = time.monotonic()
    answer = await api.raw("GET", "/version")
    latency = time.monotonic() - started
    version = answer.get("gitVersion") if isinstance(answer, dict) else None
    if not isinstance(version, str):
        raise ValueError("no version in the answer")  # noqa: TRY004 - the answer is at fault, no type of ours
    for res in (SERVICES, SLICES) if namespace is not None else ():
        await api.raw("GET", res.path(namespace or None), query={"limit": "1"})
    return version[:64], latency


@dataclass
class _Following:
    """The watches of one namespace."""

    informers: tuple[Informer, Informer]
    tasks: tuple[asyncio.Task[None], ...]

    @property
    def synced(self) -> bool:
        return all(informer.synced.is_set() for informer in self.informers)


class Connector:
    """One credential of one member at work, from `start` until `close`; `changed` is called for whatever moves."""

    def __init__(self, name: str, api: Api, changed: OnChange, *, owned: bool = True) -> None:
        self.health = Health()
        self.services: dict[Key, ServiceFacts] = {}
        self.slices: dict[Key, tuple[SliceFacts, ...]] = {}
        self.memo: dict[Key, dict[Service, Found]] = {}
        self._name = name
        self._api = api
        self._owned = owned
        self._changed = changed
        self._followed: dict[str, _Following] = {}
        self._wanted: frozenset[str] = frozenset()
        self._heart: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to look at the member."""
        self._heart = asyncio.create_task(self._beat(), name=f"member {self._name}")

    async def close(self) -> None:
        """End every request and connection."""
        self._closed = True
        tasks = [task for following in self._followed.values() for task in following.tasks]
        tasks += [self._heart] if self._heart else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._owned:
            with suppress(Exception):  # what is thrown away may be broken
                await self._api.close()

    @property
    def synced(self) -> frozenset[str]:
        """The namespaces of which everything has been read."""
        return frozenset(name for name, following in self._followed.items() if following.synced)

    @property
    def proven(self) -> bool:
        """True when the credential works, and everything that is needed has been read with it."""
        return self.health.connected is True and self._wanted <= self.synced

    @property
    def wanted(self) -> frozenset[str]:
        """The namespaces that are to be followed."""
        return self._wanted

    def error(self) -> str:
        """Say what hinders a watch, or nothing."""
        informers = [informer for following in self._followed.values() for informer in following.informers]
        return next((informer.error for informer in informers if informer.error), "")

    def need(self, namespaces: frozenset[str]) -> None:
        """Follow these namespaces, and no others."""
        if namespaces == self._wanted or self._closed:
            return
        for name in self._followed.keys() - namespaces:
            self._leave(name)
        self._wanted = namespaces
        for name in namespaces - self._followed.keys():
            self._follow(name)

    def _follow(self, namespace: str) -> None:
        informers = (
            Informer(self._api, SERVICES, namespace=namespace, strip=strip_service, on_event=self._on_service),
            Informer(self._api, SLICES, namespace=namespace, strip=strip_slice, on_event=self._on_slice),
        )
        tasks = [asyncio.create_task(informer.run()) for informer in informers]
        tasks += [asyncio.create_task(self._tell_synced(informers))]
        self._followed[namespace] = _Following(informers, tuple(tasks))

    async def _tell_synced(self, informers: tuple[Informer, ...]) -> None:
        for informer in informers:
            await informer.synced.wait()
        self._changed()

    def _leave(self, namespace: str) -> None:
        for task in self._followed.pop(namespace).tasks:
            task.cancel()
        stores: tuple[dict[Key, Any], ...] = (self.services, self.slices, self.memo)
        for store in stores:
            for key in [key for key in store if key[0] == namespace]:
                del store[key]

    def _on_service(self, type_: str, obj: ServiceFacts, _previous: ServiceFacts | None) -> None:
        if type_ == "DELETED":
            self.services.pop(obj.key, None)
        else:
            self.services[obj.key] = obj
        self._forget(obj.key)

    def _on_slice(self, type_: str, obj: SliceFacts, previous: SliceFacts | None) -> None:
        for known in (previous, obj):  # a slice may change the Service that it belongs to
            if known is not None:
                take_out(self.slices, known)
                self._forget(known.service)
        if type_ != "DELETED":
            put_in(self.slices, obj)

    def _forget(self, key: Key) -> None:
        self.memo.pop(key, None)
        self._changed()

    async def _beat(self) -> None:
        failures = 0
        while True:
            health = await self._look()
            failures = 0 if health.connected else failures + 1
            if is_news(self.health, health, failures):
                self._set(health)
            await asyncio.sleep(_EVERY if health.connected or failures > 1 else _AGAIN)

    async def _look(self) -> Health:
        rights = None if self.health.connected else next(iter(sorted(self._wanted)), None)
        try:
            async with asyncio.timeout(_PATIENCE):
                version, latency = await look_at(self._api, rights)
        except (ApiError, ConfigError, TimeoutError, ValueError, aiohttp.ClientError, OSError) as error:
            reason, text = judge(error)
            old = self.health
            return Health(False, reason, text, old.version, old.latency, old.seen, old.seen_at)
        if self.health.connected:
            latency = self.health.latency + (latency - self.health.latency) * _SMOOTHING
        return Health(
            True,
            TrafficReason.CONNECTED,
            "the API server answers",
            version,
            latency,
            time.monotonic(),
            datetime.now(UTC),
        )

    def _set(self, health: Health) -> None:
        old, self.health = self.health, health
        if (old.connected, old.reason, old.version) != (health.connected, health.reason, health.version):
            log.info("member cluster", cluster=self._name, connected=health.connected, reason=str(health.reason))
            self._changed()


@dataclass
class Link:
    """The connectors of one member: the one in use, and the one that shall replace it."""

    name: str
    changed: OnChange
    current: Connector | None = None
    next: Connector | None = None
    digest: str = ""  # of the credential that `current` uses
    next_digest: str = ""
    refused: tuple[TrafficReason, str] | None = None  # why the newest credential can't even be tried
    refused_digest: str = ""
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    def use(self, api: Api, digest: str, *, owned: bool = True) -> None:
        """Try a credential; the one in use goes on until the new one is proven."""
        self.refused = None
        if self.next:
            self._drop(self.next)
        self.next, self.next_digest = Connector(self.name, api, self.changed, owned=owned), digest
        if self.current:
            self.next.need(self.current.wanted)
        self.next.start()
        self.settle()

    def refuse(self, reason: TrafficReason, text: str, digest: str = "") -> None:
        """Note that the newest credential can't be used at all."""
        if self.next:
            self._drop(self.next)
        self.next, self.next_digest = None, ""
        self.refused, self.refused_digest = (reason, text), digest

    def keep(self) -> None:
        """Stay with the credential in use: it is the newest one again."""
        if self.next:
            self._drop(self.next)
        self.next, self.next_digest, self.refused = None, "", None

    def settle(self) -> None:
        """Let the next connector take over when it is time."""
        if self.next is None:
            return
        worthless = self.current is None or (not self.current.health.connected and not self.current.synced)
        if worthless or self.next.proven:
            if self.current:
                self._drop(self.current)
            self.current, self.digest = self.next, self.next_digest
            self.next, self.next_digest = None, ""
            self.changed()

    def need(self, namespaces: frozenset[str]) -> None:
        """Follow these namespaces of the member."""
        for connector in (self.current, self.next):
            if connector:
                connector.need(namespaces)

    async def close(self) -> None:
        """End every request and connection."""
        for connector in (self.current, self.next):
            if connector:
                self._drop(connector)
        self.current = self.next = None
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _drop(self, connector: Connector) -> None:
        task = asyncio.create_task(connector.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
