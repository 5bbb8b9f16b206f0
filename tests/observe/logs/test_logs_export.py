"""Tests of export: whole, in order, in every format, and in constant memory."""

from __future__ import annotations

import csv
import io
import json
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway_operator.observe.logs import Logs, read
from gateway_operator.observe.logs.query import LogQuery
from lab.servers.elasticsearch import Elasticsearch
from tests.observe.logs.corpus import ALL, NOON, OWN, SHOP, Corpus, access, document, indices, numbered, pod_of

MIB = 1 << 20


@pytest.fixture
async def all_logs(hundred: Corpus) -> AsyncIterator[Logs]:
    """Our logs over a hundred thousand lines."""
    logs = Logs(hundred.settings(standard_analysis=False))
    yield logs
    await logs.close()


def exporting(**parameters: str) -> LogQuery:
    """An export in terms of a URL's parameters."""
    return read({"operation": "export", **parameters})


async def whole(logs: Logs, query: LogQuery) -> str:
    """All of a file."""
    return b"".join([part async for part in logs.export(OWN, query)]).decode()


async def test_export_of_a_hundred_thousand_lines_in_flat_memory(all_logs: Logs) -> None:
    """KubeSphere ends at 100,000 rows, newest first, and keeps a scroll; this is whole, in order and flat in memory."""
    assert await _growth(all_logs, 100_000) < 16 * MIB


@pytest.mark.long
async def test_export_of_a_million_lines_in_flat_memory(elasticsearch: Elasticsearch) -> None:
    """Ten times the lines take no more memory."""
    with indices(elasticsearch) as corpus:
        corpus.create(log={"type": "text", "index": False})
        corpus.add(numbered(pod_of(ALL.workloads[0]), 1_000_000))
        logs = Logs(corpus.settings(standard_analysis=False))
        assert await _growth(logs, 1_000_000) < 16 * MIB
        await logs.close()


async def _growth(logs: Logs, count: int) -> int:
    """Export all lines, check their order, and return by how much memory grew after the first tenth."""
    seen, early = 0, 0
    async for part in logs.export(ALL, exporting(sort="asc", format="ndjson")):
        lines = part.splitlines()
        paths = [json.loads(lines[at])["access"]["path"] for at in (0, -1)]
        assert paths == [f"/tea/{seen}", f"/tea/{seen + len(lines) - 1}"]
        seen += len(lines)
        early = early or (_resident() if seen >= count // 10 else 0)
    assert seen == count
    return _resident() - early


def _resident() -> int:
    """Memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_an_export_that_is_left_lets_go_of_its_point_in_time(all_logs: Logs, hundred: Corpus) -> None:
    """KubeSphere never clears its scrolls; here a client that leaves leaves nothing open in Elasticsearch."""
    export = all_logs.export(ALL, exporting())
    assert await anext(export)
    assert hundred.open_searches()
    await export.aclose()
    assert not hundred.open_searches()


async def test_formats(corpus: Corpus, logs: Logs) -> None:
    """Text has time and pod, which KubeSphere's lacks; NDJSON and CSV have all; the order is as asked."""
    corpus.add(document(access(path=f"/{n}"), pod_of(SHOP), at=NOON + n) for n in range(3))
    text = (await whole(logs, exporting(sort="asc"))).splitlines()
    assert text[0] == f"2026-11-21T12:00:00.000Z {pod_of(SHOP)} {access(path='/0')}"
    rows = [json.loads(line) for line in (await whole(logs, exporting(format="ndjson"))).splitlines()]
    assert [row["access"]["path"] for row in rows] == ["/2", "/1", "/0"]
    table = list(csv.DictReader(io.StringIO(await whole(logs, exporting(format="csv", status="200")), newline="")))
    assert (table[0]["status"], table[0]["path"], table[0]["pod"]) == ("200", "/2", pod_of(SHOP))
    assert len(table) == 3


async def test_an_empty_export_has_its_head(corpus: Corpus, logs: Logs) -> None:
    """A CSV without lines has its columns."""
    del corpus
    assert (await whole(logs, exporting(format="csv"))).startswith("time,namespace,pod,")
    assert not await whole(logs, exporting())
