"""Tests of the one place where queries for logs are built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.observe.errors import BadQuery
from gateway_operator.observe.logs import read
from gateway_operator.observe.logs.filters import asked
from gateway_operator.observe.tenant import Tenant
from gateway_operator.settings_api import ElasticsearchSettings

PARSED = {name: f"access.{name}" for name in ("status", "method", "host", "path", "latency", "upstream", "cluster")}
NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
TEXT = st.text(max_size=40) | st.sampled_from(
    ['x" OR *', "*:*", "log:* AND kubernetes.namespace_name:blog", '{"match_all":{}}', "_exists_:log", "a\\*?", "/.*/"]
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "operation": st.sampled_from(["query", "statistics", "histogram", "export"]) | TEXT,
        "log_query": TEXT,
        "pod_query": TEXT,
        "containers": TEXT,
        "container_query": TEXT,
        "namespaces": TEXT,
        "namespace_query": TEXT,
        "workloads": TEXT,
        "pods": TEXT,
        "start_time": st.integers(0, 2**31).map(str) | TEXT,
        "end_time": st.integers(0, 2**31).map(str) | TEXT,
        "interval": st.sampled_from(["1s", "15m", "1d"]) | TEXT,
        "sort": st.sampled_from(["asc", "desc"]),
        "from": st.integers(0, 10**6).map(str) | TEXT,
        "size": st.integers(0, 1000).map(str) | TEXT,
        "status": st.sampled_from(["200", "5xx", "400-499,200"]) | TEXT,
        "method": st.sampled_from(["GET", "get,POST"]) | TEXT,
        "host": TEXT,
        "path": TEXT,
        "latency_min": st.floats(0, 10).map(lambda value: f"{value:.3f}") | TEXT,
        "latency_max": st.floats(10, 20).map(lambda value: f"{value:.3f}") | TEXT,
        "upstream": TEXT,
        "cluster": TEXT,
        "top": st.sampled_from(["status", "host"]) | TEXT,
        "format": st.sampled_from(["csv", "text"]),
        "highlight": st.sampled_from(["true", "false"]),
    },
)
LEAVES = {"term", "terms", "regexp", "range", "match_phrase", "match_phrase_prefix", "wildcard", "prefix"}
FIELDS = {"log", "time", "kubernetes.namespace_name.keyword", "kubernetes.pod_name.keyword"} | {
    "kubernetes.container_name.keyword",
    *PARSED.values(),
}


def tenants() -> st.SearchStrategy[Tenant]:
    """Any tenant: a project with a gateway of its own, one that shares, the cluster."""
    since = st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
    project = st.builds(
        lambda name, own, when: Tenant.project(name, f"kubesphere-router-{name}", "working", own=own, since=when),
        NAMES, st.booleans(), since,
    )  # fmt: skip
    return project | st.just(Tenant.cluster("kubesphere-router-kubesphere-system", "working"))


def leaves(clause: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Every (kind, field, data) of a query; anything but plain clauses below `bool` is an error."""
    ((kind, inner),) = clause.items()
    if kind == "bool":
        assert set(inner) <= {"filter", "should", "minimum_should_match"}
        assert "should" not in inner or inner["minimum_should_match"] == 1
        for one in [*inner.get("filter", ()), *inner.get("should", ())]:
            yield from leaves(one)
        return
    assert kind in LEAVES
    ((field, data),) = inner.items()
    yield kind, field, data


@given(tenants(), PARAMETERS, st.booleans(), st.booleans())
def test_no_query_without_the_tenants_filter(tenant: Tenant, given_: dict[str, str], parsed: bool, words: bool) -> None:  # noqa: FBT001
    """Whatever is asked, namespace and workload terms are there and users' text is data of plain clauses only."""
    try:
        query = read(given_)
    except BadQuery as error:
        assert error.field in given_  # noqa: PT017 - most examples are fine
        return
    settings = ElasticsearchSettings(
        urls=("https://x:9200",), parsed_fields=PARSED if parsed else {}, standard_analysis=words
    )
    found = asked(tenant, query, settings)
    required = found.query["bool"]["filter"]
    assert set(found.query["bool"]) == {"filter"}
    assert {"term": {"kubernetes.namespace_name.keyword": tenant.working_namespace}} == required[0]
    pods = list(leaves(required[1]))
    assert [(kind, field) for kind, field, _ in pods] == [("regexp", "kubernetes.pod_name.keyword")]
    assert pods[0][2]["value"].startswith(f"{tenant.workloads[0]}-([")
    if tenant.since is not None:
        assert required[2]["range"]["time"]["gte"] == int(tenant.since.timestamp() * 1000)
    assert found.shared is not tenant.own
    for kind, field, data in (leaf for one in required[2:] for leaf in leaves(one)):
        assert field in FIELDS
        assert kind != "regexp"
        if kind == "wildcard":
            text = data["value"][1:-1] if data["value"].endswith("*") else data["value"][1:]
            stripped = text.replace("\\\\", "").replace("\\*", "").replace("\\?", "")
            assert not set(stripped) & set("*?\\")


def test_pods_of_a_gateway_with_a_longer_name_are_left_out() -> None:
    """A DaemonSet's pod of gateway shop-bcd is called as a Deployment's of gateway shop might be."""
    settings = ElasticsearchSettings(urls=("https://x:9200",))
    tenant = replace(Tenant.project("shop", "gw-shop", "working"), strangers=("gw-shop-bcd", "gw-else"))
    found = asked(tenant, read({}), settings).query["bool"]
    assert found["must_not"] == [{"prefix": {"kubernetes.pod_name.keyword": {"value": "gw-shop-bcd-"}}}]
    with pytest.raises(ValueError, match="DNS"):
        replace(tenant, strangers=("*",))


def test_a_tenant_needs_names_that_kubernetes_takes() -> None:
    """Names with wildcards, spaces or upper case can't become a tenant."""
    for bad in ("*", "shop*", "Shop", "sh op", "", "-shop", "a" * 64, "shop\n"):
        with pytest.raises(ValueError, match="DNS|name"):
            Tenant.project(bad, "gw", "working")
        with pytest.raises(ValueError, match="DNS|name"):
            Tenant.project("shop", "gw", bad)


def test_a_tenant_without_workloads_is_none() -> None:
    """A tenant that would match no workload, or every one, can't be made."""
    with pytest.raises(ValueError, match="workload"):
        Tenant("project", "shop", "gw", "working", (), own=True)
    with pytest.raises(ValueError, match="cluster"):
        Tenant("cluster", "kubesphere-system", "gw", "working", ("gw",), own=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("operation", "delete"),
        ("start_time", "yesterday"),
        ("start_time", "nan"),
        ("start_time", "9" * 30),
        ("start_time", "-5"),
        ("end_time", "1e9"),
        ("interval", "15 minutes"),
        ("interval", "0m"),
        ("interval", "1y"),
        ("interval", "999999999w"),
        ("sort", "log"),
        ("from", "-1"),
        ("from", "1000001"),
        ("size", "1001"),
        ("size", "ten"),
        ("log_query", "x" * 1025),
        ("log_query", "a\nb"),
        ("log_query", ",".join("x" * 33)),
        ("status", "503-500"),
        ("method", "G T"),
        ("latency_min", "fast"),
        ("top", "log"),
        ("format", "xls"),
        ("highlight", "1"),
    ],
)
def test_bad_parameters_are_named(name: str, value: str) -> None:
    """A wrong value is refused with the name of its parameter."""
    with pytest.raises(BadQuery) as caught:
        read({name: value})
    assert caught.value.field == name


def test_times_and_latencies_must_be_in_order() -> None:
    """A span that ends before it begins is refused."""
    with pytest.raises(BadQuery, match="end_time"):
        read({"start_time": "2", "end_time": "1"})
    with pytest.raises(BadQuery, match="latency_max"):
        read({"latency_min": "2", "latency_max": "1"})


def test_a_day_and_a_week_are_intervals() -> None:
    """`1d` and `1w`, which KubeSphere's documentation promises and its code refuses, work."""
    assert [read({"interval": text}).interval for text in ("1d", "1w", "90s")] == [86_400, 604_800, 90]
