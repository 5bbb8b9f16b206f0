"""Tests of the lab's log shipping: what gateways print is found through our logs."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from gateway_operator.observe.errors import BackendDown
from gateway_operator.observe.logs import Logs, read
from lab.servers.elasticsearch import Elasticsearch
from lab.servers.shipper import Shipper
from tests.observe.logs.corpus import ALL, CLUSTER, SHARE, WORKING, access, indices, pod_of


async def test_container_logs_arrive_as_kubespheres_pipeline_stores_them(
    elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    """Lines in kubelet's files, with quotes and backslashes, are found with pod, namespace, container and time."""
    with indices(elasticsearch) as corpus:
        files = tmp_path / "pods" / f"{WORKING}_{pod_of(CLUSTER)}_7d1c2a7e-0000-4000-8000-000000000001" / "controller"
        files.mkdir(parents=True)
        line = access("shop-tea-80", agent='a "quote" \\ and ü')
        (files / "0.log").write_text(
            f"2026-11-21T12:00:00.123456789Z stdout F {line}\n"
            f"2026-11-21T12:00:01.000000000Z stdout F {access('blog-web-80')}\n"
            "2026-11-21T12:00:02.000000000Z stderr F an error\n"
        )
        shipper = Shipper.start(tmp_path / "shipper", elasticsearch, [tmp_path / "pods"], index=corpus.prefix)
        logs = Logs(corpus.settings(), _projects)
        try:
            records = await _three(logs)
            assert len(records) == 3, shipper.problems
            assert records[0]["log"] == line
            assert (records[0]["time"], records[0]["container"]) == ("2026-11-21T12:00:00.123456789Z", "controller")
            assert (await logs.answer(SHARE, read({})))["query"]["total"] == 1
            counted = await logs.answer(ALL, read({"operation": "statistics"}))
            assert counted["statistics"] == {"containers": 1, "logs": 3}
        finally:
            shipper.stop()
            await logs.close()
            elasticsearch.call("DELETE", f"/_index_template/{corpus.prefix}")


async def _three(logs: Logs) -> list[dict[str, Any]]:
    """Wait for three lines; at first the index, or its shard, isn't there."""
    records: list[dict[str, Any]] = []
    for _ in range(300):
        with contextlib.suppress(BackendDown):
            records = (await logs.answer(ALL, read({"sort": "asc"})))["query"]["records"]
        if len(records) >= 3:
            break
        await asyncio.sleep(0.2)
    return records


async def _projects() -> frozenset[str]:
    return frozenset({"shop", "blog"})
