"""Leader election by a coordination.k8s.io Lease.

The lease is renewed outside the work that it guards, and the work is cancelled before the lease can run out, so that
two replicas never act at once, also when the API server is away. Times are compared with this process's own clock
since the lease was last seen to change, never with the other's clock.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Gauge

from gateway_operator.errors import ApiError, Conflict, LeaseLost, NotFound
from gateway_operator.kube.api import Api
from gateway_operator.kube.objects import Resource
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)
MASTER = Gauge("leader_election_master_status", "1 while this replica leads.", ["name"])

_LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases", namespaced=True)
_MARGIN = 2 / 3  # of the duration: the work has the last third to stop
_OVERDUE = 0.95  # of the duration: then nobody here may be alive to do anything


class LeaseElector:
    """One candidate for one lease. `duration`, `renew_every` and `retry_every` (while another leads) are seconds.

    `overdue` is called from a thread when the lease is about to run out and the work is still there, as happens when
    the event loop hangs; it should end the process, for nothing else can stop what runs.

    `owner` gives the object with which the lease is to go (same namespace), once that is known: Kubernetes' garbage
    collector then removes the lease, also where its holder has no more rights or time to do so.
    """

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration: float = 15.0,
        renew_every: float = 5.0,
        retry_every: float | None = None,
        overdue: Callable[[], None] | None = None,
        owner: Callable[[], dict[str, Any] | None] = lambda: None,
    ) -> None:
        self.identity = identity
        self.leading = asyncio.Event()
        self._api = api
        self._namespace = namespace
        self._name = name
        self._duration = duration
        self._renew_every = renew_every
        self._retry_every = retry_every or renew_every * 0.6
        self._overdue = overdue
        self._owner = owner
        self._holder = ""
        self._lease: dict[str, Any] | None = None  # as last written by us
        self._seen_version = ""
        self._seen_at = 0.0
        self._renewed_at = 0.0

    @property
    def is_leader(self) -> bool:
        """True while the lease is ours and can't have run out."""
        return self.leading.is_set() and self.age < self._duration * _MARGIN

    @property
    def age(self) -> float:
        """Seconds since the lease was last renewed by us."""
        return time.monotonic() - self._renewed_at

    @property
    def holder(self) -> str:
        """The replica that was last seen to hold the lease."""
        return self._holder

    def fence(self) -> None:
        """Check that we may act: cheap, asks nobody. Raises LeaseLost."""
        if not self.is_leader:
            raise LeaseLost(f"the lease {self._name} was last renewed {self.age:.0f} s ago")

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, run `lead()` while it is ours, and wait again when it was lost; until cancelled.

        Returns when `lead()` returns by itself. An error of `lead()` is raised.
        """
        while True:
            while not await self._try():  # noqa: ASYNC110 - only the API server knows when it is free
                await asyncio.sleep(self._retry_every * random.uniform(0.7, 1.3))  # noqa: S311
            self.leading.set()
            MASTER.labels(self._name).set(1)
            log.info("leading", lease=self._name, identity=self.identity)
            try:
                if await self._lead(lead):
                    return
            finally:
                self.leading.clear()
                MASTER.labels(self._name).set(0)
                await asyncio.shield(self._release())
            log.warning("lease lost", lease=self._name, identity=self.identity)

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> bool:
        """Run the work beside the renewals; True when it ended by itself."""
        work = asyncio.ensure_future(lead())
        renewals = asyncio.ensure_future(self._renew())
        ended = threading.Event()
        if self._overdue:
            threading.Thread(target=self._watch, args=(ended,), name="lease watchdog", daemon=True).start()
        try:
            await asyncio.wait({work, renewals}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
                return True
            return False
        finally:
            for task in (work, renewals):
                task.cancel()
            await asyncio.gather(work, renewals, return_exceptions=True)
            ended.set()

    def _watch(self, ended: threading.Event) -> None:
        """See from a thread that the work ends with the lease."""
        while not ended.wait(self._duration / 20):
            if self.age > self._duration * _OVERDUE and self._overdue:
                log.error("lease ran out and the work has not ended", lease=self._name, age=round(self.age, 1))
                self._overdue()
                return

    async def _renew(self) -> None:
        """Renew for as long as that succeeds in time."""
        while time.monotonic() - self._renewed_at < self._duration * _MARGIN:
            await asyncio.sleep(min(self._renew_every, self._duration * _MARGIN / 3))
            left = self._renewed_at + self._duration * _MARGIN - time.monotonic()
            try:
                async with asyncio.timeout(max(left, 0.1)):
                    held = await self._try()
            except TimeoutError:
                return
            if not held and self._holder not in {"", self.identity}:
                return

    async def _try(self) -> bool:
        """Take or renew the lease once; False when another holds it or the API server doesn't answer."""
        asked_at = time.monotonic()
        try:
            lease = self._lease or await self._read()
            if lease and not self._may_take(lease):
                return False
            await self._write(lease)
        except (Conflict, NotFound):  # somebody wrote or deleted it: what we know may be old
            known, self._lease = self._lease, None
            return await self._try() if known else False
        except ApiError as error:
            self._lease = None  # perhaps it was written all the same
            log.warning("lease can't be renewed", lease=self._name, error=str(error))
            return False
        self._renewed_at = asked_at
        return True

    async def _read(self) -> dict[str, Any] | None:
        lease = await self._api.find(_LEASES, self._name, self._namespace)
        if lease is None:
            self._holder = ""
            return None
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen_version:
            self._seen_version, self._seen_at = version, time.monotonic()
        self._holder = lease.get("spec", {}).get("holderIdentity") or ""
        return lease

    def _may_take(self, lease: dict[str, Any]) -> bool:
        spec = lease.get("spec", {})
        if self._holder in {"", self.identity}:
            return True
        return time.monotonic() - self._seen_at > float(spec.get("leaseDurationSeconds") or self._duration)

    async def _write(self, lease: dict[str, Any] | None) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = (lease or {}).get("spec", {})
        mine = old.get("holderIdentity") == self.identity
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._duration),
            "acquireTime": old.get("acquireTime") if mine else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if mine or not lease else 1),
        }
        meta = dict(lease["metadata"]) if lease else {"name": self._name, "namespace": self._namespace}
        if owner := self._owner():
            meta["ownerReferences"] = [_reference(owner)]
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
        write = self._api.replace if lease else self._api.create
        written = await write(_LEASES, body, self._namespace)
        self._seen_version, self._seen_at = written["metadata"]["resourceVersion"], time.monotonic()
        self._holder = self.identity
        self._lease = written

    async def _release(self) -> None:
        """Give the lease up, so that the next replica needn't wait for its end."""
        self._lease = None
        try:
            async with asyncio.timeout(3):
                lease = await self._read()
                if lease and self._holder == self.identity:
                    spec = lease["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._api.replace(_LEASES, lease | {"spec": spec}, self._namespace)
        except (ApiError, TimeoutError) as error:
            log.info("lease not released", lease=self._name, error=str(error) or "timeout")


def _reference(owner: dict[str, Any]) -> dict[str, Any]:
    meta = owner["metadata"]
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
