"""What every area of the doctor works with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gateway_operator.commands.doctor.findings import Finding
from gateway_operator.commands.operators import Operator
from gateway_operator.commands.targets import KindRef
from gateway_operator.errors import Forbidden, KindNotServed
from gateway_operator.kube import Api, Resource
from gateway_operator.releases.records import ReleaseRecord

_AT_ONCE = 10
_T = TypeVar("_T")


@dataclass
class Scope:
    """The cluster, the part of it to look at, and what was found before the areas began."""

    api: Api
    refs: tuple[KindRef, ...]
    watches_file: Path | None = None
    namespace: str | None = None
    operators: Sequence[Operator] = ()
    objects: dict[KindRef, list[dict[str, Any]]] = field(default_factory=dict)
    records: Sequence[ReleaseRecord] = ()
    now: float = field(default_factory=time.time)

    @property
    def runs(self) -> bool:
        """True when an operator has a pod that is ready."""
        return any((o.deployment.get("status") or {}).get("readyReplicas") for o in self.operators)

    async def list(
        self, api_version: str, kind: str, namespace: str | None = None, *, label_selector: str = ""
    ) -> list[dict[str, Any]]:
        """List objects; none when the kind isn't served. Raises ApiError."""
        try:
            resource = await self.api.resource(api_version, kind)
        except KindNotServed:
            return []
        listing = await self.api.list(resource, namespace or self.namespace, label_selector=label_selector)
        return listing.items

    async def find(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """Read an object; None when it isn't there or may not be read. Raises other ApiErrors."""
        try:
            return await self.api.find(resource, name, namespace)
        except Forbidden:
            return None


async def together(work: Iterable[Awaitable[_T]]) -> list[_T]:
    """Await many things, a few at a time, in their order."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(part: Awaitable[_T]) -> _T:
        async with slots:
            return await part

    return list(await asyncio.gather(*(one(part) for part in work)))


Area = Callable[[Scope], Awaitable[list[Finding]]]
