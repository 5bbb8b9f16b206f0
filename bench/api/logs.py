"""Logs through the API beside bare calls of Elasticsearch: the same searches of the same server, in turns.

Once through the route (HTTP, parameters, the tenant's filter, our client, parsing of access lines, KubeSphere's
shape), once by a plain client that sends the very body that the route sends and decodes the answer.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
import uvicorn
from fastapi import FastAPI

from bench.results import Part, Row, row
from bench.stats import median, percentile
from gateway_operator.observe.elastic import Elastic
from gateway_operator.observe.logs import Logs, read
from gateway_operator.settings_api import ElasticsearchSettings
from gateway_operator.web.routes import logs as route
from lab.control import free_ports
from lab.servers.elasticsearch import READER, Elasticsearch
from tests.observe.logs import corpus

MOST = 1.3
RAW = "bare calls"
LINES, QUICK_LINES = 200_000, 5_000
SPAN = 86_400  # s, over which the lines are spread
Params = dict[str, str]


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
        return asyncio.run(_measured(stored, rounds=5 if quick else 60))


async def _measured(stored: corpus.Corpus, *, rounds: int) -> Part:
    rows, details = [], {}
    span = {"start_time": str(corpus.NOON), "end_time": str(corpus.NOON + SPAN)}
    cases: dict[str, Params] = {
        "query, newest 50 lines": {**span, "size": "50"},
        "query, newest 50 of a word": {**span, "size": "50", "log_query": "503"},
        "histogram, a day by 15 minutes": {**span, "operation": "histogram", "interval": "15m"},
        "statistics": {**span, "operation": "statistics"},
    }
    settings = stored.settings()
    async with _api(settings) as url, _plain(settings) as plain:
        for what, params in cases.items():
            calls = await _recorded(settings, params)
            samples = await _turns(partial(_ours, plain, url, params), partial(_bare, plain, settings, calls), rounds)
            rows += _rows(what, samples)
            details[what] = {"turns": samples}
    return Part(tuple(rows), details)


def _rows(what: str, samples: list[tuple[float, float]]) -> list[Row]:
    mine, bare = [one for one, _ in samples], [other for _, other in samples]
    p95 = percentile(mine, 0.95) * 1000, percentile(bare, 0.95) * 1000
    ratio = median([one / other for one, other in samples])
    return [
        row(f"logs: {what}: time, median", "ms", median(mine) * 1000, median(bare) * 1000, peer_name=RAW),
        row(f"logs: {what}: time beside {RAW}, median of turns", "x", ratio, mark=MOST),
        row(f"logs: {what}: time, p95", "ms", *p95, peer_name=RAW),
    ]


async def _turns(ours: Any, theirs: Any, rounds: int) -> list[tuple[float, float]]:
    """Let both take turns, after five unmeasured turns each; who begins changes."""
    found = []
    for number in range(rounds + 5):
        taken = {}
        for name, work in (("ours", ours), ("theirs", theirs))[:: 1 if number % 2 else -1]:
            began = time.perf_counter()
            await work()
            taken[name] = time.perf_counter() - began
        found.append((taken["ours"], taken["theirs"]))
    return found[5:]


async def _ours(session: aiohttp.ClientSession, url: str, params: Params) -> None:
    async with session.get(url, params=params) as answer:
        found = json.loads(await answer.read())
        if answer.status != 200 or "partial" in found:  # noqa: PLR2004
            raise RuntimeError(f"the API answered {answer.status}: {found}")


async def _bare(session: aiohttp.ClientSession, settings: ElasticsearchSettings, calls: list[str]) -> None:
    for body in calls:
        url = f"{settings.urls[0]}/{settings.index}/_search?ignore_unavailable=true&allow_no_indices=true"
        async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
            json.loads(await answer.read())


async def _recorded(settings: ElasticsearchSettings, params: Params) -> list[str]:
    """Return the searches that our logs make of a question."""
    found: list[str] = []

    class Recording(Elastic):
        async def search(self, body: dict[str, Any], *, pit: bool = False) -> Any:
            found.append(json.dumps(body))
            return await super().search(body, pit=pit)

    logs = Logs(settings, elastic=Recording(settings))
    await logs.answer(corpus.OWN, read(params))
    await logs.close()
    return found


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
    app = FastAPI()
    app.include_router(route.router)
    logs = Logs(settings)
    app.state.services = SimpleNamespace(access=_Everybody(), gateways=_One(), logs=logs)
    (port,) = free_ports(1)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off", ws="none")
    http = uvicorn.Server(config)
    http.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(http.serve())
    while not http.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}{route.router.prefix}/namespaces/shop/gateways/{corpus.SHOP}/logs"
    finally:
        http.should_exit = True
        await serving
        await logs.close()
