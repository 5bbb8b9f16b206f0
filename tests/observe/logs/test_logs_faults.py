"""Tests of an Elasticsearch that is down, slow, refusing, half-answering or something else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway_operator.observe.errors import BackendDown, BackendTimeout
from gateway_operator.observe.logs import Logs, read
from gateway_operator.settings_api import ElasticsearchSettings
from lab.servers.elasticsearch import ADMIN
from tests.observe.logs.corpus import OWN, SHOP, Corpus, access, document, pod_of
from tests.observe.logs.relay import Relay


@pytest.fixture
async def relay(corpus: Corpus) -> AsyncIterator[Relay]:
    """A way to the real server that a test can break; there is one line."""
    corpus.add([document(access(), pod_of(SHOP))])
    async with Relay(corpus.server.port) as relay:
        yield relay


def through(relay: Relay, corpus: Corpus, **changes: Any) -> Logs:
    """Our logs by way of the relay."""
    return Logs(corpus.settings(urls=(f"https://127.0.0.1:{relay.port}",), **{"timeout": 20, "retries": 0, **changes}))


async def total(logs: Logs) -> int:
    """How many lines there are."""
    return int((await logs.answer(OWN, read({})))["query"]["total"])


async def test_elasticsearch_down_and_back(corpus: Corpus, relay: Relay) -> None:
    """While it is down each question fails at once and clearly; when it is back, the next one is answered."""
    logs = through(relay, corpus)
    assert await total(logs) == 1
    await relay.down()
    for operation in ("query", "statistics", "histogram"):
        with pytest.raises(BackendDown, match="elasticsearch: it can't be asked") as caught:
            await logs.answer(OWN, read({"operation": operation}))
        assert not isinstance(caught.value, BackendTimeout)
    with pytest.raises(BackendDown):
        await anext(logs.export(OWN, read({"operation": "export"})))
    await relay.up()
    assert await total(logs) == 1
    await logs.close()


async def test_elasticsearch_slow(corpus: Corpus, relay: Relay) -> None:
    """An answer that doesn't come is a timeout, for many questions at once, and nothing stays stuck."""
    logs = through(relay, corpus, timeout=3)
    assert await total(logs) == 1
    relay.mode = "stall"
    found = await asyncio.gather(*(total(logs) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(one, BackendTimeout) for one in found)
    relay.mode = "pass"
    assert await total(logs) == 1
    await logs.close()


async def test_elasticsearch_cut_off_in_the_middle_of_an_answer(corpus: Corpus, relay: Relay) -> None:
    """Half an answer is no answer."""
    logs = through(relay, corpus)
    relay.mode = "cut"
    with pytest.raises(BackendDown):
        await total(logs)
    relay.mode = "pass"
    assert await total(logs) == 1
    await logs.close()


async def test_some_shards_failed(corpus: Corpus, logs: Logs) -> None:
    """What the healthy part of the indices has is told together with what failed; an export fails instead."""
    corpus.create("broken", time={"type": "text"})
    corpus.add([document(access(), pod_of(SHOP))], "broken")
    corpus.add([document(access(path="/found"), pod_of(SHOP))])
    span = {"start_time": "1795262400", "end_time": "1795262401"}
    answer = await logs.answer(OWN, read({"operation": "histogram", **span}))
    assert answer["histogram"]["total"] == 1
    assert "shards failed" in answer["partial"][0]
    page = await logs.answer(OWN, read({}))
    assert "shards failed" in page["partial"][0]
    with pytest.raises(BackendDown, match="shards failed"):
        await anext(logs.export(OWN, read({"operation": "export"})))


@pytest.mark.parametrize("changes", [{"username": "nobody"}, {"username": ""}], ids=["stranger", "anonymous"])
async def test_elasticsearch_refuses_us(corpus: Corpus, changes: dict[str, Any]) -> None:
    """Wrong credentials are the API's fault, never the user's 401."""
    logs = Logs(corpus.settings(**changes))
    with pytest.raises(BackendDown, match="refuses the API's own account"):
        await total(logs)
    await logs.close()


async def test_a_new_password_counts_without_a_restart(corpus: Corpus, tmp_path: Path) -> None:
    """Secrets are read from their files when they are used."""
    file = tmp_path / "password"
    file.write_text("wrong\n")
    corpus.add([document("x", pod_of(SHOP))])
    logs = Logs(corpus.settings(username=ADMIN, password_file=file))
    with pytest.raises(BackendDown):
        await total(logs)
    file.write_text(corpus.server.password + "\n")
    assert await total(logs) == 1
    file.unlink()
    with pytest.raises(BackendDown, match="a file for it can't be read"):
        await total(logs)
    await logs.close()


async def test_an_api_key_that_may_read_and_nothing_else(corpus: Corpus, tmp_path: Path) -> None:
    """Every operation works with a key from a file, without any right on the cluster; a key that is taken back fails.

    A key for other indices sees none of these: no lines, as if there were no index.
    """
    corpus.add([document(access(path=f"/{n}"), pod_of(SHOP)) for n in range(3)])
    file = tmp_path / "key"
    file.write_text(corpus.key(f"{corpus.prefix}-*") + "\n")
    logs = Logs(corpus.settings(api_key_file=file, username="", password_file=None))
    for operation, found in (("query", "total"), ("statistics", "logs"), ("histogram", "total")):
        assert (await logs.answer(OWN, read({"operation": operation})))[operation][found] == 3
    assert (await logs.answer(OWN, read({"status": "200"})))["query"]["total"] == 3
    export = b"".join([part async for part in logs.export(OWN, read({"operation": "export"}))])
    assert export.count(b"\n") == 3
    file.write_text(corpus.key("others-*"))
    assert await total(logs) == 0
    corpus.take_back_keys()
    with pytest.raises(BackendDown, match=r"refuses the API's own account \(401\)"):
        await total(logs)
    await logs.close()


async def test_tls_is_verified(corpus: Corpus) -> None:
    """A certificate of an unknown authority is refused (KubeSphere never looks)."""
    logs = Logs(corpus.settings(ca_file=None))
    with pytest.raises(BackendDown, match="can't be asked: TlsError|Connection"):
        await total(logs)
    await logs.close()


class Imposter:
    """A server that answers as it is told."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.url = ""

    async def answer(self, _request: web.Request) -> web.Response:
        """Give the first answer that is left; the last stays."""
        status, headers, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        text = body if isinstance(body, str) else json.dumps(body)
        kept = {"Content-Type": "application/vnd.elasticsearch+json;compatible-with=8", **headers}
        return web.Response(status=status, headers=kept, text=text)


@pytest.fixture
async def imposter() -> AsyncIterator[Imposter]:
    """A server whose faults can't be made with the real one."""
    imposter = Imposter()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", imposter.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    imposter.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield imposter
    await runner.cleanup()


ELASTIC = {"X-Elastic-Product": "Elasticsearch"}
NINE = (200, ELASTIC, {"nodes": {"a": {"version": "9.1.0"}}})


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(200, {}, {"version": {"distribution": "opensearch"}})], "OpenSearch isn't supported"),
        ([(200, ELASTIC, {"nodes": {"a": {"version": "7.17.0"}}})], "version 7.17.0 isn't supported; 8 and 9 are"),
        ([NINE, (200, ELASTIC, {"surprise": True})], "its answer makes no sense"),
        ([NINE, (200, ELASTIC, "{")], "elasticsearch: "),
        (
            [NINE, (500, ELASTIC, {"error": {"type": "boom", "reason": "secret query"}, "status": 500})],
            "answered 500: boom",
        ),
        ([NINE, (503, ELASTIC, {"error": {"type": "cluster_block_exception"}, "status": 503})], "answered 503"),
        ([NINE, (429, ELASTIC, {"error": {"type": "circuit_breaking_exception"}, "status": 429})], "answered 429"),
    ],
    ids=["opensearch", "seven", "nonsense", "half", "error", "blocked", "busy"],
)
async def test_answers_that_are_none(imposter: Imposter, answers: list[Any], words: str) -> None:
    """Other products, other versions and errors are told apart, without the server's own words about the query."""
    imposter.answers = answers
    logs = Logs(ElasticsearchSettings(urls=(imposter.url,), retries=0))
    with pytest.raises(BackendDown, match=words) as caught:
        await logs.answer(OWN, read({}))
    assert "secret" not in str(caught.value)
    await logs.close()
