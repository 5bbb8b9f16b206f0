"""Logs through the API beside bare calls of Elasticsearch: the same searches of the same server, in turns.

Once through the route (HTTP, parameters, the tenant's filter, our client, parsing of access lines, KubeSphere's
shape), once by a plain client that sends the very body that the route sends and decodes the answer. Each turn's span
begins a millisecond later, as that of a console does, which asks for the last day: Elasticsearch answers what it was
asked before from a cache, with which users seldom meet. How that compares stands beside it, with the same mark.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
import uvloop

from bench.api.serving import serving
from bench.results import Part, Row, row
from bench.stats import median, percentile
from gateway_operator.observe.elastic import Elastic
from gateway_operator.observe.logs import Logs, read
from gateway_operator.settings_api import ElasticsearchSettings
from gateway_operator.web.routes import logs as route
from lab.servers.elasticsearch import READER, Elasticsearch
from tests.observe.logs import corpus

MOST = 1.3
RAW = "bare calls"
LINES, QUICK_LINES = 200_000, 5_000
SPAN = 86_400  # s, over which the lines are spread
UNMEASURED = 5
Params = dict[str, str]
Work = Callable[["_Asked"], Awaitable[None]]


def measure(*, quick: bool = False, seed: int = 1) -> Part:
    """Measure; `quick` shows that it works."""
    del seed  # nothing here is drawn
    with Elasticsearch.shared() as server, corpus.indices(server) as stored:
        stored.create()
        lines = QUICK_LINES if quick else LINES
        stored.add(
            corpus.document(
                corpus.access(path=f"/tea/{n % 997}", status=503 if n % 50 == 0 else 200),
                corpus.pod_of(corpus.SHOP, name="bcdfg"[n % 5] * 5),
                at=corpus.NOON + n * SPAN / lines,
            )
            for n in range(lines)
        )
        return uvloop.run(_measured(stored, rounds=5 if quick else 60))


async def _measured(stored: corpus.Corpus, *, rounds: int) -> Part:
    rows, details = [], {}
    cases: dict[str, Params] = {
        "query, newest 50 lines": {"size": "50"},
        "query, newest 50 of a word": {"size": "50", "log_query": "503"},
        "histogram, a day by 15 minutes": {"operation": "histogram", "interval": "15m"},
        "statistics": {"operation": "statistics"},
    }
    settings = stored.settings()
    async with _api(settings) as url, _plain(settings) as plain:
        for what, params in cases.items():
            for again in (False, True) if "operation" in params else (False,):
                asked = [
                    _Asked(given, await _searched(settings, given))
                    for number in range(2 * (rounds + UNMEASURED))
                    for given in ({**params, **_span(0 if again else number)},)
                ]
                samples = await _turns(partial(_ours, plain, url), partial(_bare, plain, settings), asked)
                name = f"{what}, the same again" if again else what
                rows += _rows(name, samples)
                details[name] = {"turns": samples}
    return Part(tuple(rows), details)


@dataclass(frozen=True)
class _Asked:
    """A question as the API gets it, and the search that it makes of it."""

    params: Params
    search: str


def _span(number: int) -> Params:
    """Return a day's span, another one for each number."""
    return {"start_time": f"{corpus.NOON + number / 1000:.3f}", "end_time": str(corpus.NOON + SPAN)}


def _rows(what: str, samples: list[tuple[float, float]]) -> list[Row]:
    mine, bare = [one for one, _ in samples], [other for _, other in samples]
    p95 = percentile(mine, 0.95) * 1000, percentile(bare, 0.95) * 1000
    ratio = median([one / other for one, other in samples])
    return [
        row(f"logs: {what}: time, median", "ms", median(mine) * 1000, median(bare) * 1000, peer_name=RAW),
        row(f"logs: {what}: time beside {RAW}, median of turns", "x", ratio, mark=MOST),
        row(f"logs: {what}: time, p95", "ms", *p95, peer_name=RAW),
    ]


async def _turns(ours: Work, theirs: Work, asked: list[_Asked]) -> list[tuple[float, float]]:
    """Let both take turns, after some that aren't measured; who begins changes, and each asks another question."""
    found = []
    for number, two in enumerate(zip(asked[::2], asked[1::2], strict=True)):
        taken = {}
        order = (("ours", ours), ("theirs", theirs))[:: 1 if number % 2 else -1]
        for (name, work), question in zip(order, two, strict=True):
            began = time.perf_counter()
            await work(question)
            taken[name] = time.perf_counter() - began
        found.append((taken["ours"], taken["theirs"]))
    return found[UNMEASURED:]


async def _ours(session: aiohttp.ClientSession, url: str, asked: _Asked) -> None:
    async with session.get(url, params=asked.params) as answer:
        found = json.loads(await answer.read())
        if answer.status != 200 or "partial" in found:  # noqa: PLR2004
            raise RuntimeError(f"the API answered {answer.status}: {found}")


async def _bare(session: aiohttp.ClientSession, settings: ElasticsearchSettings, asked: _Asked) -> None:
    url = f"{settings.urls[0]}/{settings.index}/_search?ignore_unavailable=true&allow_no_indices=true"
    async with session.post(url, data=asked.search, headers={"Content-Type": "application/json"}) as answer:
        found = json.loads(await answer.read())
        if answer.status != 200 or found["_shards"]["failed"]:  # noqa: PLR2004
            raise RuntimeError(f"Elasticsearch answered {answer.status}: {found}")


async def _searched(settings: ElasticsearchSettings, params: Params) -> str:
    """Return the one search that our logs make of a question, unsent: Elasticsearch is not to know it yet."""
    found: list[Any] = []

    class Recording(Elastic):
        async def _ask(self, operation: str, missing: Any = None, **arguments: Any) -> dict[str, Any]:  # noqa: ARG002
            found.append(arguments["body"])
            hits = {"total": {"value": 0}, "hits": []}
            return {"hits": hits, "_shards": {}, "aggregations": {}}

    await Logs(settings, elastic=Recording(settings)).answer(corpus.OWN, read(params))
    (body,) = found
    return json.dumps(body)


@dataclass
class _Everybody:
    """Lets everybody in: what asking the API server costs is measured elsewhere."""

    async def authenticate(self, _request: Any) -> Any:
        return SimpleNamespace(name="bench")

    async def check(self, *_: Any) -> None:
        return None


class _One:
    """The gateway of the one project."""

    async def tenant(self, _namespace: str, _name: str = "") -> Any:
        return corpus.OWN


@asynccontextmanager
async def _plain(settings: ElasticsearchSettings) -> AsyncIterator[aiohttp.ClientSession]:
    """A plain client with the same certificate check, user and kept connections as ours."""
    password = settings.password_file.read_text().strip() if settings.password_file else ""
    context = ssl.create_default_context(cafile=settings.ca_file)
    connector = aiohttp.TCPConnector(ssl=context)
    auth = aiohttp.BasicAuth(READER, password)
    async with aiohttp.ClientSession(connector=connector, auth=auth) as session:
        yield session


@asynccontextmanager
async def _api(settings: ElasticsearchSettings) -> AsyncIterator[str]:
    """The route behind a real HTTP server; yields its address for the project."""
    logs = Logs(settings)
    try:
        async with serving(route.router, SimpleNamespace(access=_Everybody(), gateways=_One(), logs=logs)) as url:
            yield f"{url}{route.router.prefix}/namespaces/shop/gateways/{corpus.SHOP}/logs"
    finally:
        await logs.close()
