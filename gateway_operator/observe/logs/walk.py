"""Walks over more lines than one answer can hold: a point in time and `search_after`, a page in memory at a time."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from gateway_operator.observe.elastic import Answer, Elastic
from gateway_operator.observe.logs.filters import Asked

Json = dict[str, Any]
PAGE = 1000
SKIP = 10_000  # the largest page that Elasticsearch gives; documents that are skipped bring nothing but their order


@dataclass
class Budget:
    """How much one question may read; `spent` lines so far, `over` once it had to stop."""

    lines: int
    seconds: float
    spent: int = 0
    over: bool = False
    _since: float = field(default_factory=time.monotonic)

    def spend(self, count: int) -> bool:
        """Count lines; tell whether more may be read."""
        self.spent += count
        return self.spent < self.lines and time.monotonic() - self._since < self.seconds


@dataclass(frozen=True)
class Walk:
    """A walk over the lines of a question, ordered by the time field; `source` names what hits bring.

    `extra` are further parts of each search's body.
    """

    elastic: Elastic
    asked: Asked
    time_field: str
    source: list[str]
    newest_first: bool = True
    extra: Json = field(default_factory=dict)

    async def pages(self, skip: int = 0) -> AsyncGenerator[Answer, None]:
        """Yield pages that aren't empty, after leaving `skip` lines out. Raises BackendDown, BackendTimeout."""
        async with self.elastic.point_in_time() as pit:
            if pit is None:
                return
            after: list[Any] | None = None
            while skip > 0 or after is None or after:
                answer = await self._page(pit, after, min(skip, SKIP))
                if not answer.hits and not answer.failed:
                    return
                if skip <= 0:
                    yield answer
                if not answer.hits:
                    return
                skip -= len(answer.hits) if skip > 0 else 0
                after = answer.hits[-1]["sort"]
                pit["id"] = answer.body.get("pit_id", pit["id"])

    async def _page(self, pit: Json, after: list[Any] | None, skip: int) -> Answer:
        body = {
            "query": self.asked.query,
            "pit": pit,
            "size": skip or PAGE,
            "sort": order(self.time_field, newest_first=self.newest_first),
            "track_total_hits": False,
            "_source": False if skip else self.source,
            **({} if skip else self.extra),
            **({"search_after": after} if after else {}),
        }
        return await self.elastic.search(body, pit=True)

    async def within(self, budget: Budget, skip: int = 0) -> AsyncGenerator[Answer, None]:
        """Yield pages until the budget is spent."""
        async with aclosing(self.pages(skip)) as pages:
            async for page in pages:
                yield page
                if not budget.spend(len(page.hits)):
                    budget.over = len(page.hits) == PAGE
                    return


def order(time_field: str, *, newest_first: bool) -> list[Json]:
    """Return the order of lines by time; indices that don't know the field don't matter."""
    return [{time_field: {"order": "desc" if newest_first else "asc", "unmapped_type": "date"}}]
