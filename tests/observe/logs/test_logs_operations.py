"""Tests of every operation against a real Elasticsearch: what is found is what was stored."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_operator.observe.errors import BadQuery
from gateway_operator.observe.logs import Logs, read
from gateway_operator.observe.tenant import Tenant
from tests.observe.logs.corpus import (
    ALL,
    CLUSTER,
    NOON,
    OWN,
    SHARE,
    SHOP,
    Corpus,
    access,
    document,
    json_access,
    pod_of,
)


async def ask(logs: Logs, tenant: Tenant, **parameters: str) -> Any:
    """The answer to a question in terms of a URL's parameters."""
    return await logs.answer(tenant, read({name.rstrip("_"): value for name, value in parameters.items()}))


def paths(answer: Any) -> list[str]:
    """The requests' paths of an answer, in order."""
    return [record["access"]["path"] for record in answer["query"]["records"]]


async def test_query(corpus: Corpus, logs: Logs) -> None:
    """Records come newest first, a page at a time, with KubeSphere's keys and the parsed request."""
    corpus.add(document(access(path=f"/{n}"), pod_of(SHOP), at=NOON + n) for n in range(25))
    answer = await ask(logs, OWN, **{"from": "5", "size": "3"})
    assert answer["query"]["total"] == 25
    assert paths(answer) == ["/19", "/18", "/17"]
    record = answer["query"]["records"][0]
    assert {name: record[name] for name in ("time", "namespace", "pod", "container")} == {
        "time": "2026-11-21T12:00:19.000Z",
        "namespace": "kubesphere-controls-system",
        "pod": pod_of(SHOP),
        "container": "controller",
    }
    assert record["log"] == access(path="/19") + "\n"
    assert "partial" not in answer
    assert paths(await ask(logs, OWN, sort="asc", size="2")) == ["/0", "/1"]
    assert (await ask(logs, OWN, size="0"))["query"] == {"total": 25, "records": []}


async def test_times(corpus: Corpus, logs: Logs) -> None:
    """Both ends of the time count."""
    corpus.add(document(access(path=f"/{n}"), pod_of(SHOP), at=NOON + n) for n in range(10))
    answer = await ask(logs, OWN, start_time=str(NOON + 3), end_time=str(NOON + 5))
    assert paths(answer) == ["/5", "/4", "/3"]


async def test_words_pods_and_containers(corpus: Corpus, logs: Logs) -> None:
    """Words of log_query are alternatives and may be beginnings; pods and containers are found by parts of names."""
    corpus.add([
        document("alpha connection refused", pod_of(SHOP, name="bbbbb")),
        document("beta upstream timed out", pod_of(SHOP, name="ccccc")),
        document("gamma fine", pod_of(SHOP, name="ccccc"), container="sidecar"),
    ])  # fmt: skip

    async def found(**parameters: str) -> set[str]:
        answer = await ask(logs, OWN, **parameters)
        return {record["log"].split()[0] for record in answer["query"]["records"]}

    assert await found(log_query="connection refu,timed") == {"alpha", "beta"}
    assert await found(log_query="refused connection") == set()
    assert await found(pod_query="ccccc") == {"beta", "gamma"}
    assert await found(container_query="side") == {"gamma"}
    assert await found(containers="controller") == {"alpha", "beta"}
    assert await found(pod_query="*") == set()


async def test_statistics_is_no_silent_query(corpus: Corpus, logs: Logs) -> None:
    """Statistics counts containers and lines (KubeSphere's gateway route returns ten rows instead)."""
    corpus.add(document(access(), pod_of(SHOP, name=name)) for name in ("bbbbb", "ccccc") for _ in range(15))
    assert await ask(logs, OWN, operation="statistics") == {"statistics": {"containers": 2, "logs": 30}}


async def test_histogram_is_no_silent_query(corpus: Corpus, logs: Logs) -> None:
    """Histogram counts lines per interval, those without lines too (KubeSphere's gateway route returns ten rows)."""
    corpus.add(document(access(), pod_of(SHOP), at=NOON + minute * 60) for minute in (0, 0, 1, 3))
    rows = [{"time": (NOON + minute * 60) * 1000, "count": count} for minute, count in ((0, 2), (1, 1), (2, 0), (3, 1))]
    wanted = {"histogram": {"total": 4, "histograms": rows}}
    assert await ask(logs, OWN, operation="histogram", interval="1m") == wanted
    spans = {"start_time": str(NOON), "end_time": str(NOON + 600)}
    assert await ask(logs, OWN, operation="histogram", interval="1m", **spans) == wanted
    share = await ask(logs, SHARE, operation="histogram", interval="1m", **spans)
    assert share == {"histogram": {"total": 0, "histograms": []}}


async def test_a_histogram_of_too_many_rows_is_refused(corpus: Corpus, logs: Logs) -> None:
    """Seconds over years are refused with the parameter's name, whether the span was given or found."""
    corpus.add([document("old", pod_of(SHOP), at=NOON - 10**8), document("new", pod_of(SHOP))])
    for span in ({"start_time": "0", "end_time": str(NOON)}, {}):
        with pytest.raises(BadQuery, match="interval"):
            await ask(logs, OWN, operation="histogram", interval="1s", **span)


async def test_access_filters(corpus: Corpus, logs: Logs) -> None:
    """Status, method, path, latency and upstream select requests; other lines never pass."""
    corpus.add(
        document(log, pod_of(SHOP), at=NOON - n)
        for n, log in enumerate([
            access(path="/a", status=200),
            access(path="/b", status=404, method="POST"),
            access(path="/c", status=503, latency=2.5, upstream="10.1.0.6:8080"),
            access(path="/ab?status=404", status=301),
            "503 404 POST words of a log",
        ])
    )  # fmt: skip

    async def found(**parameters: str) -> list[str]:
        return paths(await ask(logs, OWN, **parameters))

    assert await found(status="404") == ["/b"]
    assert await found(status="4xx,503") == ["/b", "/c"]
    assert await found(status="200-301") == ["/a", "/ab"]
    assert await found(method="post") == ["/b"]
    assert await found(path="/a") == ["/a", "/ab"]
    assert await found(latency_min="2") == ["/c"]
    assert await found(latency_max="0.004", status="5xx") == []
    assert await found(upstream="10.1.0.6") == ["/c"]
    assert (await ask(logs, OWN, operation="statistics", status="4xx"))["statistics"]["logs"] == 1


async def test_hosts_and_clusters_of_formats_that_print_them(corpus: Corpus, logs: Logs) -> None:
    """A format in JSON with host and cluster can be filtered by them; `*.` stands for any subdomain."""
    hosts = [("a.example.com", "wuhan"), ("b.example.com", "zhuhai"), ("example.org", "wuhan")]
    corpus.add(
        document(json_access(host=host, cluster=cluster, uri=f"/{host[0]}"), pod_of(SHOP), at=NOON - n)
        for n, (host, cluster) in enumerate(hosts)
    )
    assert paths(await ask(logs, OWN, host="*.example.com")) == ["/a", "/b"]
    assert paths(await ask(logs, OWN, host="example.org,B.example.com")) == ["/b", "/e"]
    assert paths(await ask(logs, OWN, cluster="wuhan")) == ["/a", "/e"]
    top = (await ask(logs, OWN, operation="statistics", top="cluster"))["statistics"]["top"]
    assert top["items"] == [{"value": "wuhan", "count": 2}, {"value": "zhuhai", "count": 1}]


async def test_top_n(corpus: Corpus, logs: Logs) -> None:
    """The most frequent values are counted over all lines, not over a page."""
    corpus.add(
        document(access(path=f"/{n % 3}", status=500 if n % 10 == 0 else 200), pod_of(SHOP)) for n in range(2500)
    )
    answer = await ask(logs, OWN, operation="statistics", top="path", size="2")
    assert answer["statistics"] == {
        "containers": 1,
        "logs": 2500,
        "top": {
            "field": "path",
            "items": [{"value": "/0", "count": 834}, {"value": "/1", "count": 833}],
            "other": 833,
            "exact": True,
        },
    }
    statuses = (await ask(logs, OWN, operation="statistics", top="status"))["statistics"]["top"]["items"]
    assert statuses == [{"value": "200", "count": 2250}, {"value": "500", "count": 250}]


async def test_parsed_fields_of_a_pipeline(corpus: Corpus) -> None:
    """Where a pipeline has parsed lines, Elasticsearch itself filters and counts; a project's share, too."""
    parsed = {name: f"access.{name}.keyword" for name in ("host", "path", "namespace")} | {"status": "access.status"}
    documents = []
    for n in range(20):
        one = document("not to be parsed", pod_of(CLUSTER), at=NOON - n)
        project = "shop" if n % 2 else "blog"
        one["access"] = {"host": f"{project}.example.com", "path": f"/{n}", "namespace": project, "status": 200 + n}
        documents.append(one)
    corpus.add(documents)
    logs = Logs(corpus.settings(parsed_fields=parsed, standard_analysis=False))
    try:
        assert (await ask(logs, SHARE))["query"]["total"] == 10
        assert (await ask(logs, ALL, status="200-203"))["query"]["total"] == 4
        assert (await ask(logs, ALL, path="/1", host="*.example.com"))["query"]["total"] == 11
        top = (await ask(logs, SHARE, operation="statistics", top="host"))["statistics"]["top"]
        assert top == {
            "field": "host",
            "items": [{"value": "shop.example.com", "count": 10}],
            "other": 0,
            "exact": True,
        }
    finally:
        await logs.close()


async def test_highlight(corpus: Corpus, logs: Logs) -> None:
    """Words found are marked, and what clients wrote is no markup."""
    corpus.add([document(access(agent="<script>alert(1)</script> timeout"), pod_of(name)) for name in (SHOP, CLUSTER)])
    for tenant in (OWN, SHARE):
        answer = await ask(logs, tenant, log_query="timeout", highlight="true")
        marked = answer["query"]["records"][0]["highlight"]
        assert "<em>timeout</em>" in marked
        assert "<script>" not in marked


async def test_other_field_names(corpus: Corpus) -> None:
    """Indices of another pipeline, with their own names and keyword fields, are read by configuration."""
    keyword = {"type": "keyword"}
    names = {"when": {"type": "date"}, "k8s": {"properties": {"ns": keyword, "pod": keyword, "c": keyword}}}
    corpus.create("other", **names)
    fields = {"ns": "kubesphere-controls-system", "pod": pod_of(SHOP), "c": "controller"}
    corpus.add([{"when": "2026-11-21T12:00:00Z", "msg": access(), "k8s": fields}], "other")
    mapped = {"time": "when", "log": "msg", "namespace": "k8s.ns", "pod": "k8s.pod", "container": "k8s.c"}
    logs = Logs(corpus.settings(fields={**mapped, "instance": "k8s.pod"}))
    try:
        answer = await ask(logs, OWN)
        assert (answer["query"]["total"], paths(answer)) == (1, ["/tea"])
        assert (await ask(logs, OWN, operation="statistics"))["statistics"] == {"containers": 1, "logs": 1}
    finally:
        await logs.close()


async def test_no_index_is_no_error(corpus: Corpus, logs: Logs) -> None:
    """Before the first line was shipped every operation has an empty answer."""
    corpus.remove()
    for tenant in (OWN, SHARE):
        assert (await ask(logs, tenant))["query"] == {"total": 0, "records": []}
        assert (await ask(logs, tenant, operation="statistics"))["statistics"]["logs"] == 0
        assert (await ask(logs, tenant, operation="histogram"))["histogram"]["total"] == 0
        assert [part async for part in logs.export(tenant, read({"operation": "export"}))] == []


async def test_pages_beyond_ten_thousand(hundred: Corpus) -> None:
    """`from` + `size` over 10,000, which fails in KubeSphere, gives the very records of that place."""
    logs = Logs(hundred.settings(standard_analysis=False))
    try:
        answer = await ask(logs, ALL, **{"from": "34321", "size": "3", "sort": "asc"})
        assert answer["query"]["total"] == 100_000
        assert paths(answer) == ["/tea/34321", "/tea/34322", "/tea/34323"]
        assert paths(await ask(logs, ALL, **{"from": "100000", "size": "5"})) == []
    finally:
        await logs.close()


async def test_a_reading_that_is_cut_short_says_so(hundred: Corpus) -> None:
    """More lines than may be read to answer: the answer says that it is partial, and isn't silently wrong."""
    logs = Logs(hundred.settings(scan_lines=5000, standard_analysis=False))
    try:
        answer = await ask(logs, ALL, operation="statistics", top="status")
        assert answer["statistics"]["logs"] == 5000
        assert answer["partial"] == ["only 5000 lines were read; ask for a shorter time"]
        page = await ask(logs, ALL, status="2xx", size="1")
        assert page["partial"]
    finally:
        await logs.close()
