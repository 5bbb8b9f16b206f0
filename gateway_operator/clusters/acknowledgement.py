"""Asks the pods of gateways what they serve, and whom of the members their probes reach.

Pods get no right to write anything for this; the operator long-polls their port. What they answer is checked like any
stranger's word.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from gateway_operator.clusters.programming import PodReport
from gateway_operator.clusters.store import Address
from gateway_operator.crds.conditions import is_true
from gateway_operator.kube import Api, Informer, Resource
from gateway_operator.telemetry import get_logger
from gateway_operator.traffic.gateways import Key, Quarantined

log = get_logger(__name__)
PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
SELECTOR = "app.kubernetes.io/component=controller,app.kubernetes.io/managed-by=Helm"
INSTANCE = "app.kubernetes.io/instance"
_CONTAINER, _PORT = "controller", 10254
_POLL = 25.0  # seconds that a pod may keep us waiting
_TIMEOUT = aiohttp.ClientTimeout(total=_POLL + 5, sock_connect=2)
_SHORT = aiohttp.ClientTimeout(total=3, sock_connect=2)
_FIRST, _LAST = 0.5, 5.0  # seconds until a silent pod is asked again
_TRAFFIC_EVERY = 2.0
_LARGEST = 4 * 1024 * 1024
_LONGEST_TEXT, _MOST = 500, 1000

Object = dict[str, Any]


@dataclass
class _Poll:
    """A pod that is asked; `task` asks what is applied, `probes` what its probes say."""

    url: str
    tasks: tuple[asyncio.Task[None], ...]


class GatewayPods:
    """Follows gateways' pods. `changed` is called whenever `reports` or `alive` may answer something else."""

    def __init__(self, api: Api, changed: Callable[[], None]) -> None:
        self._changed = changed
        self.informer = Informer(api, PODS, label_selector=SELECTOR, strip=_slim, on_event=lambda *_: changed())
        self._polls: dict[Key, _Poll] = {}
        self._answers: dict[Key, PodReport] = {}
        self._probes: dict[Key, dict[str, tuple[frozenset[str], bool]]] = {}
        self._releases: dict[Key, Key] = {}  # a gateway's release -> the gateway
        self._session: aiohttp.ClientSession | None = None
        self.urgent = False  # a member is away: probes decide about its endpoints

    async def run(self) -> None:
        """Follow pods until cancelled."""
        try:
            await self.informer.run()
        finally:
            for key in list(self._polls):
                self._stop(key)
            if self._session:
                await self._session.close()

    def follow(self, releases: Mapping[Key, Key]) -> None:
        """Ask the pods of these releases (namespace and name, each with its gateway), and no others."""
        self._releases = dict(releases)
        wanted = {key: url for key, pod in self._mine() if (url := _url(pod))}
        for key in [key for key, poll in self._polls.items() if wanted.get(key) != poll.url]:
            self._stop(key)
        for key, url in wanted.items():
            if key not in self._polls:
                self._start(key, url)

    def reports(self) -> dict[Key, tuple[PodReport, ...]]:
        """Return what the pods of each gateway say."""
        found: dict[Key, list[PodReport]] = {}
        for key, pod in self._mine():
            gateway = self._releases[_release(pod)]
            answer = self._answers.get(key, PodReport(key[1]))
            ready = bool(pod["ready"]) and not pod["metadata"].get("deletionTimestamp")
            found.setdefault(gateway, []).append(replace(answer, ready=ready))
        return {gateway: tuple(sorted(pods, key=lambda pod: pod.name)) for gateway, pods in found.items()}

    def alive(self, cluster: str, address: Address) -> bool | None:
        """Tell what probes say of a member's endpoint; False only where all who probe it agree."""
        text = f"[{address.ip}]:{address.port}" if ":" in address.ip else f"{address.ip}:{address.port}"
        words = [found[cluster] for found in self._probes.values() if cluster in found]
        if not any(probed for _, probed in words):
            return None
        return not all(text in down for down, probed in words if probed)

    def _mine(self) -> Iterable[tuple[Key, Object]]:
        return [(key, pod) for key, pod in self.informer.store.items() if _release(pod) in self._releases]

    def _start(self, key: Key, url: str) -> None:
        self._session = self._session or aiohttp.ClientSession(auto_decompress=False)
        tasks = (
            asyncio.create_task(self._ask_applied(key, url, self._session), name=f"gateway pod {key[1]}"),
            asyncio.create_task(self._ask_traffic(key, url, self._session), name=f"probes of {key[1]}"),
        )
        self._polls[key] = _Poll(url, tasks)

    def _stop(self, key: Key) -> None:
        for task in self._polls.pop(key).tasks:
            task.cancel()
        self._answers.pop(key, None)
        self._probes.pop(key, None)

    async def _ask_applied(self, key: Key, url: str, session: aiohttp.ClientSession) -> None:
        token, delay = "", _FIRST
        while True:
            began = time.monotonic()
            query = {"after": token, "timeout": str(_POLL)}
            try:
                answer = await _get(session, f"{url}/applied", query, _TIMEOUT)
                token = str(answer.get("token") or "")
                report, delay = _report(key[1], answer), _FIRST
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                old = self._answers.get(key, PodReport(key[1]))
                said = str(error) or type(error).__name__
                report = replace(old, error=said[:_LONGEST_TEXT])
                delay = min(delay * 2, _LAST)
            if report != self._answers.get(key):
                self._answers[key] = report
                self._changed()
            if report.error or time.monotonic() - began < _FIRST:  # a pod that answers at once each time is slowed
                await asyncio.sleep(delay)

    async def _ask_traffic(self, key: Key, url: str, session: aiohttp.ClientSession) -> None:
        while True:
            if self.urgent:
                try:
                    found = _probes(await _get(session, f"{url}/traffic", {}, _SHORT))
                except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                    found = self._probes.get(key, {})
                if found != self._probes.get(key, {}):
                    self._probes[key] = found
                    self._changed()
            await asyncio.sleep(_TRAFFIC_EVERY)


async def _get(
    session: aiohttp.ClientSession,
    url: str,
    query: Mapping[str, str],
    timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
) -> dict[str, Any]:
    """Read a JSON object. Raises ClientError, TimeoutError, OSError or ValueError."""
    async with session.get(url, params=query, timeout=timeout, allow_redirects=False) as response:
        if not response.ok:
            raise ValueError(f"it answers {response.status}")
        if (response.content_length or 0) > _LARGEST:
            raise ValueError("its answer is too long")
        body = await response.content.read(_LARGEST)
        while not response.content.at_eof():
            if len(body) >= _LARGEST:
                raise ValueError("its answer is too long")
            body += await response.content.read(_LARGEST)
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("its answer is no JSON object")  # noqa: TRY004 - the answer is at fault
    return found


def _report(name: str, answer: Mapping[str, Any]) -> PodReport:
    """Read an answer of `/applied`; one without our part is an older gateway's."""
    part, quarantine = answer.get("multiCluster"), _quarantine(answer.get("quarantine"))
    if not isinstance(part, dict):
        return PodReport(name, error="its version knows no policies", quarantine=quarantine)
    problems, contests = _places(part, "problems", "text"), _places(part, "contests", "by")
    digest = _text(part.get("digest"))
    return PodReport(name, digest=digest, problems=problems, contests=contests, quarantine=quarantine)


def _quarantine(part: Any) -> Quarantined | None:
    """Read whom a pod leaves out; None for an older gateway."""
    count = part.get("count") if isinstance(part, dict) else None
    if not isinstance(count, int) or count < 0:
        return None
    named = tuple((_text(row.get("ingress")), _text(row.get("message"))) for row in _rows(part, "ingresses"))
    return Quarantined(count, named)


def _places(part: Mapping[str, Any], key: str, what: str) -> tuple[tuple[str, str, str], ...]:
    """Read a list of policies, each with a field and a text."""
    return tuple((_text(row.get("policy")), _text(row.get("where")), _text(row.get(what))) for row in _rows(part, key))


def _rows(part: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Take the objects of a list, not too many of them."""
    rows = part.get(key)
    return [row for row in (rows if isinstance(rows, list) else [])[:_MOST] if isinstance(row, dict)]


def _probes(answer: Mapping[str, Any]) -> dict[str, tuple[frozenset[str], bool]]:
    """Read an answer of `/traffic`: of each cluster who is down, and whether anybody was probed."""
    clusters = answer.get("clusters")
    result = {}
    for name, item in (clusters if isinstance(clusters, dict) else {}).items():
        if isinstance(item, dict):
            down = item.get("down")
            addresses = frozenset(one for one in (down if isinstance(down, list) else []) if isinstance(one, str))
            result[str(name)] = (addresses, bool(item.get("probed")))
    return result


def _text(value: Any) -> str:
    """Take a text of a reasonable length, without control characters."""
    return "".join(c for c in str(value or "")[:_LONGEST_TEXT] if c.isprintable())


def _slim(pod: Object) -> Object:
    """Keep of a pod where it answers, whose it is and whether it is ready."""
    meta, status = pod["metadata"], pod.get("status") or {}
    return {
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "resourceVersion": meta["resourceVersion"],
            "deletionTimestamp": meta.get("deletionTimestamp"),
            "labels": {INSTANCE: (meta.get("labels") or {}).get(INSTANCE, "")},
        },
        "ip": status.get("podIP") or "",
        "ready": is_true(pod, "Ready"),
        "port": _port(pod),
    }


def _port(pod: Object) -> int:
    """Return the port that answers the readiness probe of the container `controller`."""
    for container in (pod.get("spec") or {}).get("containers") or ():
        if container.get("name") == _CONTAINER:
            port = ((container.get("readinessProbe") or {}).get("httpGet") or {}).get("port", _PORT)
            named = {item.get("name"): item.get("containerPort") for item in container.get("ports") or ()}
            found = named.get(port, port)
            return found if isinstance(found, int) else _PORT
    return 0


def _release(pod: Object) -> Key:
    meta = pod["metadata"]
    return meta["namespace"], meta["labels"][INSTANCE]


def _url(pod: Object) -> str:
    """Return where a pod is asked, empty while it can't be."""
    ip, port = pod["ip"], pod["port"]
    if not ip or not port or not pod["ready"] or pod["metadata"].get("deletionTimestamp"):
        return ""
    return f"http://[{ip}]:{port}" if ":" in ip else f"http://{ip}:{port}"
