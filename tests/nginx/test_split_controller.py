"""Policies in a running controller: what it says that nginx serves, what it counts, and what a broken config does."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway_operator.ingress.request_metrics import request_text
from gateway_operator.ingress.snapshot import Snapshot
from gateway_operator.ingress.split_source import SplitSource
from gateway_operator.observe.logs.access_lines import AccessLines
from gateway_operator.traffic.config import SplitConfig, dump
from tests.conftest import ROOT
from tests.nginx.conftest import running
from tests.nginx.controlled import Controlled, controlled
from tests.nginx.harness import Backend, Gateway, eventually
from tests.nginx.objects import site
from tests.nginx.policies import backend, members, path, policy

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")
OLD = "2025-01-01T00:00:00Z"


@pytest.fixture
def gateway(nginx_binary: Path, renderer: str) -> Iterator[Gateway]:
    """A gateway of this test alone, once for each renderer."""
    with running(nginx_binary, renderer) as found:
        yield found


def tea(backends: dict[str, Backend], wuhan: int, *ingresses: Any, **more: Any) -> Snapshot:
    """A policy for two paths, one of which an older Ingress may have."""
    weights = {"wuhan": wuhan, "zhuhai": 100 - wuhan}
    paths = [path("x.test/tea", backend(weights)), path("x.test/more", backend(weights), number=1)]
    ports = {"wuhan": backends["a"].port, "zhuhai": backends["b"].port}
    return members([policy("p", *paths)], ports, *ingresses, services={"c": backends["c"].port}, **more)


def documented_format() -> str:
    """The log format that docs/spec/logs.md recommends to those who want to search by host and cluster."""
    found = re.search(r"log-format-upstream: '(.*)'", (ROOT / "docs" / "spec" / "logs.md").read_text())
    assert found
    return found[1]


async def applied(found: Controlled, digest: str) -> dict[str, Any]:
    """What `/applied` says once it has a digest."""

    async def check() -> Any:
        told = found.state.as_json()["multiCluster"]
        return told if told["digest"] == digest else None

    told: dict[str, Any] = await eventually(check)
    return told


async def test_what_is_said(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """The digest is said once it serves; losers and shares are named; weights cost the dynamic renderer no reload."""
    older = site("x.test", {}, ("/more", "Prefix", "c"), created=OLD, name="older")
    younger = site("x.test", {}, ("/tea", "Prefix", "c"), created="2030-01-01T00:00:00Z", name="younger")
    config = {"log-format-escape-json": "true", "log-format-upstream": documented_format()}
    snapshot = tea(backends, 100, older, younger, config=config)
    assert snapshot.splits is not None
    async with controlled(gateway, snapshot) as found:
        told = await applied(found, snapshot.splits.digest)
        (problem,) = told["problems"]
        assert (problem["policy"], problem["reason"]) == ("apps/p", "Conflicted")
        assert problem["where"] == "spec.rules[0].http.paths[1]"
        assert "apps/older" in problem["text"]
        where = "spec.rules[0].http.paths[0]"
        assert told["contests"] == [{"policy": "apps/p", "where": where, "by": "Ingress apps/younger"}]
        assert [found.notebook.reasons(name) for name in ("p", "older", "younger")] == [
            [],
            ["PathContested"],
            ["PathConflict"],
        ]
        assert [await gateway.backend_of("x.test", uri) for uri in ("/tea", "/more")] == ["a", "c"]
        first, token = found.state.generation, found.state.token
        found.show(tea(backends, 0, older, younger, config=snapshot.config))
        digest = found.sources.current.splits.digest  # type: ignore[union-attr]
        await applied(found, digest)
        assert await gateway.backend_of("x.test", "/tea?after") == "b"
        assert (found.state.generation == first) == (gateway.renderer == "dynamic")
        assert found.state.token != token
        (one,) = found.controller.traffic.as_json()["paths"]
        assert (one["policy"], one["where"]) == ("apps/p", "spec.rules[0].http.paths[0]")
        assert {item["name"]: (item["effective"], item["ready"], item["state"]) for item in one["clusters"]} == {
            "wuhan": (0, 1, "Standby"),
            "zhuhai": (10_000, 1, "Active"),
        }

        async def logged() -> bool:
            lines = [line for text in gateway.log().splitlines() if (line := AccessLines().read(text))]
            told = {(line.namespace, line.path, line.cluster) for line in lines}
            return told >= {("apps", "/tea", "wuhan"), ("apps", "/tea", "zhuhai"), ("apps", "/more", "")}

        await eventually(logged)  # so that logs can be searched by cluster
        found.show(tea(backends, 50))
        assert (await applied(found, found.sources.current.splits.digest))["problems"] == []  # type: ignore[union-attr]
        assert await gateway.backend_of("x.test", "/more") in {"a", "b"}


@pytest.mark.parametrize("renderer", ["dynamic"])
async def test_requests_are_counted_by_cluster(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Series of their own have host and path of the rule; upstream's series are as without a policy."""
    async with controlled(gateway, tea(backends, 50)):
        await eventually(lambda: gateway.backend_of("x.test", "/tea"))
        seen = Counter([await gateway.backend_of("x.test", f"/tea/{i}?status={200 + i % 2 * 204}") for i in range(20)])

        async def page() -> Any:
            url = f"http://127.0.0.1:{gateway.status}/metrics-data"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                found = json.loads(await answer.read())
            rows = {tuple(item["labels"][4:]): item["requests"] for item in found["clusters"]}
            return found if sum(rows.values()) == 21 and len(seen) else None

        found = await eventually(page)
        assert {tuple(item["labels"][:4]) for item in found["clusters"]} == {("apps", "p", "x.test", "/tea")}
        assert {item["labels"][5] for item in found["clusters"]} == {"2xx", "4xx"}
        text = request_text(found, {"controller_pod": "p"})
        assert "# TYPE gateway_cluster_requests_total counter" in text
        assert 'policy="p",host="x.test",path="/tea",cluster="wuhan",status_class="2xx"' in text
        assert "cluster" not in request_text({"series": found["series"], "bounds": found["bounds"]}, {})


def configmap(text: str) -> dict[str, Any]:
    """The ConfigMap of the split."""
    return {"metadata": {"namespace": "gw", "name": "multicluster", "uid": "u"}, "data": {"config.json": text}}


def test_a_broken_config(tmp_path: Path) -> None:
    """The last good one stays, over a restart too, and the ConfigMap is told; without one there is no policy."""
    config = SplitConfig.of([policy("p", path("x.test/tea", None))])
    source = SplitSource(tmp_path)
    source.take(None)
    assert source.config is None
    source.take(configmap(dump(config)))
    assert source.config == config
    source.take(configmap(dump(config).replace('"version":1', '"version":2')))
    assert source.config == config
    (problem,) = source.problems
    assert (problem.ref.kind, problem.reason) == ("ConfigMap", "InvalidSplitConfig")
    again = SplitSource(tmp_path)
    again.take(configmap("{"))
    assert (again.config, len(again.problems)) == (config, 1)
    again.take(configmap(""))
    assert (again.config, again.problems) == (None, ())
    once_more = SplitSource(tmp_path)
    once_more.take(configmap("{"))
    assert once_more.config is None


async def test_a_broken_config_is_said(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """`/applied` names the fault beside the digest that still serves."""
    source = SplitSource(gateway.folder)
    source.take(configmap("{"))
    snapshot = dataclasses.replace(tea(backends, 100), split_problems=source.problems)
    assert snapshot.splits is not None
    async with controlled(gateway, snapshot) as found:
        told = await applied(found, snapshot.splits.digest)
        assert [(item["policy"], item["reason"]) for item in told["problems"]] == [("", "InvalidSplitConfig")]
        assert found.notebook.reasons("multicluster") == ["InvalidSplitConfig"]
