"""Answers questions about logs: one search where Elasticsearch can decide, a bounded walk where lines must be read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from gateway_operator.observe.elastic import NAME, Answer, Elastic
from gateway_operator.observe.errors import BackendDown, BadQuery
from gateway_operator.observe.logs import export
from gateway_operator.observe.logs.access_lines import AccessLines
from gateway_operator.observe.logs.counting import Buckets, Top
from gateway_operator.observe.logs.filters import Asked, asked
from gateway_operator.observe.logs.query import BUCKETS_LIMIT, LogQuery
from gateway_operator.observe.logs.reading import Line, Reading
from gateway_operator.observe.logs.walk import Budget, Walk, order
from gateway_operator.observe.tenant import Tenant
from gateway_operator.settings_api import ElasticsearchSettings

Json = dict[str, Any]
Projects = Callable[[], Awaitable[AbstractSet[str]]]
WINDOW = 10_000  # how deep from + size reach in Elasticsearch
_COUNTED = 20_000  # lines that are read to tell a total after a page is full
_CONTAINERS = 10_000
_MARKS: Json = {"number_of_fragments": 0, "encoder": "html", "pre_tags": ["<em>"], "post_tags": ["</em>"]}
_HIDDEN = (
    "lines are left out whose route may be another project's; a log-format-upstream with $namespace would tell them "
    "apart"
)


@dataclass(frozen=True)
class _Question:
    """A tenant's question with all that answering takes."""

    tenant: Tenant
    query: LogQuery
    asked: Asked
    reading: Reading
    walk: Walk
    budget: Budget


class Logs:
    """The logs of gateways. `projects` gives the names of all namespaces, to tell routes of shared gateways apart."""

    def __init__(
        self, settings: ElasticsearchSettings, projects: Projects | None = None, elastic: Elastic | None = None
    ) -> None:
        self._settings = settings
        self.projects = projects
        self._elastic = elastic or Elastic(settings)
        self._lines = AccessLines(settings.log_formats)

    async def close(self) -> None:
        """Close the connections."""
        await self._elastic.close()

    async def check(self) -> None:
        """Raise BackendDown or BackendTimeout unless Elasticsearch answers a question about nobody's lines."""
        await self._elastic.search({"size": 0, "query": {"match_none": {}}})

    async def answer(self, tenant: Tenant, query: LogQuery) -> Json:
        """Answer all operations but export, in KubeSphere's shapes.

        `partial`, where present, lists why the answer may lack lines. Raises BadQuery, BackendDown, BackendTimeout.
        """
        question = await self._question(tenant, query)
        if query.operation == "statistics":
            return await self._statistics(question)
        if query.operation == "histogram":
            return await self._histogram(question)
        return await self._query(question)

    async def export(self, tenant: Tenant, query: LogQuery) -> AsyncGenerator[bytes, None]:
        """Yield a file piece by piece; the first piece comes when Elasticsearch has answered.

        An export is whole or fails. Raises BackendDown, BackendTimeout.
        """
        question = await self._question(tenant, query)
        start = export.head(query.format)
        async with aclosing(question.walk.pages()) as pages:
            async for page in pages:
                if page.failed:
                    raise BackendDown(NAME, page.failed)
                yield start + export.encoded(query.format, _taken(question, page))
                start = b""
        if start:
            yield start

    async def _question(self, tenant: Tenant, query: LogQuery) -> _Question:
        settings = self._settings
        found = asked(tenant, query, settings)
        projects = await self.projects() if found.shared and self.projects else None
        reading = Reading(tenant, found, self._lines, settings.fields, projects)
        marks = {"highlight": {**_MARKS, "fields": {settings.fields.log: {}}}}
        extra = marks if query.highlight and query.words else {}
        walk = Walk(self._elastic, found, settings.fields.time, reading.source, query.newest_first, extra)
        return _Question(tenant, query, found, reading, walk, Budget(settings.scan_lines, settings.scan_seconds))

    async def _query(self, q: _Question) -> Json:
        if q.asked.parse:
            return await self._read_query(q)
        if q.query.offset + q.query.size > WINDOW:
            return await self._deep_query(q)
        body = {
            "query": q.asked.query,
            "sort": order(self._settings.fields.time, newest_first=q.query.newest_first),
            "_source": q.reading.source,
            "from": q.query.offset,
            "size": q.query.size,
            "track_total_hits": True,
            **q.walk.extra,
        }
        answer = await self._elastic.search(body)
        return _records(answer.total, _taken(q, answer), _partial(q, answer.failed))

    async def _read_query(self, q: _Question) -> Json:
        total, first, last = 0, q.query.offset, q.query.offset + q.query.size
        found: list[Line] = []
        failed = ""
        async with aclosing(q.walk.within(q.budget)) as pages:
            async for page in pages:
                failed = failed or page.failed
                taken = _taken(q, page)
                found.extend(taken[max(first - total, 0) : max(last - total, 0)])
                total += len(taken)
                if total >= last and q.budget.spent >= _COUNTED:
                    q.budget.over = True
                    break
        return _records(total, found, _partial(q, failed))

    async def _deep_query(self, q: _Question) -> Json:
        count = await self._elastic.search({"query": q.asked.query, "size": 0, "track_total_hits": True})
        found: list[Line] = []
        failed = count.failed
        if q.query.offset < count.total:
            async with aclosing(q.walk.pages(q.query.offset)) as pages:
                async for page in pages:
                    failed = failed or page.failed
                    found.extend(_taken(q, page))
                    if len(found) >= q.query.size:
                        break
        return _records(count.total, found[: q.query.size], _partial(q, failed))

    async def _statistics(self, q: _Question) -> Json:
        top = q.query.top
        known = self._settings.parsed_fields.get(top or "")
        if q.asked.parse or (top and not known):
            return await self._read_statistics(q)
        aggregations: Json = {"containers": {"cardinality": {"field": self._settings.fields.instance}}}
        if known:
            aggregations["top"] = {"terms": {"field": known, "size": max(q.query.size, 1)}}
        body = {"query": q.asked.query, "size": 0, "track_total_hits": True, "aggs": aggregations}
        answer = await self._elastic.search(body)
        found = answer.body.get("aggregations", {})
        containers = found.get("containers", {}).get("value", 0)
        rows: Json = {"containers": containers, "logs": answer.total}
        if known:
            items = [{"value": str(b["key"]), "count": b["doc_count"]} for b in found["top"]["buckets"]]
            other = answer.total - sum(item["count"] for item in items)
            exact = not found["top"].get("doc_count_error_upper_bound")
            rows["top"] = {"field": top, "items": items[: q.query.size], "other": other, "exact": exact}
        return {"statistics": rows, **_partial(q, answer.failed)}

    async def _read_statistics(self, q: _Question) -> Json:
        logs, failed, top = 0, "", Top()
        containers: set[str] = set()
        async with aclosing(q.walk.within(q.budget)) as pages:
            async for page in pages:
                failed = failed or page.failed
                for line in _taken(q, page):
                    logs += 1
                    if len(containers) < _CONTAINERS:
                        containers.add(line.instance or f"{line.pod}/{line.container}")
                    if q.query.top and line.access is not None:
                        top.add(str(getattr(line.access, q.query.top) or ""))
        rows: Json = {"containers": len(containers), "logs": logs}
        if q.query.top:
            rows["top"] = top.as_json(q.query.top, q.query.size)
        return {"statistics": rows, **_partial(q, failed)}

    async def _histogram(self, q: _Question) -> Json:
        await self._check_span(q)
        buckets, failed = Buckets(q.query.interval), ""
        if q.asked.parse:
            async with aclosing(q.walk.within(q.budget)) as pages:
                async for page in pages:
                    failed = failed or page.failed
                    for line in _taken(q, page):
                        buckets.add(line.millis)
            return {"histogram": buckets.as_json(), **_partial(q, failed)}
        interval = {"field": self._settings.fields.time, "fixed_interval": f"{q.query.interval}s", "min_doc_count": 1}
        body = {"query": q.asked.query, "size": 0, "track_total_hits": False,
                "aggs": {"times": {"date_histogram": interval}}}  # fmt: skip
        answer = await self._elastic.search(body)
        for row in answer.body.get("aggregations", {}).get("times", {}).get("buckets", ()):
            buckets.add(row["key"], row["doc_count"])
        return {"histogram": buckets.as_json(), **_partial(q, answer.failed)}

    async def _check_span(self, q: _Question) -> None:
        """Refuse an interval that makes too many rows; where the question is open, the lines decide."""
        start, end = q.query.start, q.query.end
        if start is None or end is None:
            field = {"field": self._settings.fields.time}
            body = {"query": q.asked.query, "size": 0, "track_total_hits": False,
                    "aggs": {"first": {"min": field}, "last": {"max": field}}}  # fmt: skip
            found = (await self._elastic.search(body)).body.get("aggregations", {})
            first, last = (found.get(name, {}).get("value") for name in ("first", "last"))
            if first is None or last is None:
                return
            start, end = first / 1000, last / 1000
        if (end - start) / q.query.interval > BUCKETS_LIMIT:
            raise BadQuery("interval", f"makes more than {BUCKETS_LIMIT} rows; choose a longer one or a shorter time")


def _taken(q: _Question, answer: Answer) -> list[Line]:
    return [line for hit in answer.hits if (line := q.reading.take(hit)) is not None]


def _records(total: int, lines: list[Line], partial: Json) -> Json:
    return {"query": {"total": total, "records": [line.as_json() for line in lines]}, **partial}


def _partial(q: _Question, failed: str) -> Json:
    """Say why an answer may lack lines."""
    reasons = [failed] if failed else []
    if q.budget.over:
        reasons.append(f"only {q.budget.spent} lines were read; ask for a shorter time")
    if q.reading.doubtful:
        reasons.append(_HIDDEN)
    return {"partial": reasons} if reasons else {}
