"""Tests that nobody reads another tenant's lines, whatever they ask and whatever their clients send."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

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

OTHERS = [
    document("secret of blog's own gateway", pod_of("kubesphere-router-blog")),
    document("secret of a gateway with a longer name", pod_of("kubesphere-router-shop-tea")),
    document("secret of a pod called alike elsewhere", pod_of(SHOP), namespace="blog"),
    document("secret of an application", "web-7d9f8b6c5d-x2x9z", namespace="shop"),
    document("secret of a StatefulSet", f"{SHOP}-0"),
    document("secret of a namesake", f"{SHOP}x-7d9f8b6c5d-x2x9z"),
    document(access("blog-web-80", path="/secret"), pod_of(CLUSTER)),
    document("secret of the cluster gateway's controller, shop", pod_of(CLUSTER)),
]


async def found(logs: Logs, tenant: Tenant, **parameters: str) -> list[str]:
    """What a query finds and an export brings, which must be the same."""
    query = read({"size": "1000", **parameters})
    records = (await logs.answer(tenant, query))["query"]["records"]
    exported = b"".join([part async for part in logs.export(tenant, query)]).decode()
    assert exported.count("\n") == len(records)
    counted = await logs.answer(tenant, replace(query, operation="statistics"))
    assert counted["statistics"]["logs"] == len(records)
    return [record["log"].strip() for record in records]


async def test_a_project_sees_its_own_gateway_and_nothing_else(corpus: Corpus, logs: Logs) -> None:
    """Of ten kinds of lines in the indices a project's gateway has its own."""
    corpus.add([*OTHERS, document("mine", pod_of(SHOP))])
    assert await found(logs, OWN) == ["mine"]


@pytest.mark.parametrize("tenant", [OWN, SHARE], ids=["own", "share"])
@pytest.mark.parametrize(
    "attack",
    [
        {"log_query": '*" OR kubernetes.namespace_name:"blog'},
        {"log_query": "kubernetes.namespace_name:blog"},
        {"log_query": "*"},
        {"log_query": "secret"},
        {"log_query": '{"match_all":{}}'},
        {"log_query": "/.*/"},
        {"pod_query": "kubesphere-router-blog"},
        {"pod_query": "*"},
        {"pod_query": ".*"},
        {"container_query": "*"},
        {"containers": "controller"},
        {"path": "/secret"},
        {"host": "*."},
        {"status": "1xx,2xx,3xx,4xx,5xx"},
        {"upstream": "10.1"},
        {"namespaces": "blog", "namespace_query": "blog", "workloads": "web", "pods": "web"},
        {"start_time": "0", "end_time": str(NOON * 2)},
    ],
    ids=str,
)
async def test_no_parameter_opens_another_tenants_logs(
    corpus: Corpus, logs: Logs, tenant: Tenant, attack: dict[str, str]
) -> None:
    """Elasticsearch's syntax, wildcards and KubeSphere's other parameters find nothing of others."""
    corpus.add(OTHERS)
    assert await found(logs, tenant, **attack) == []


async def test_a_gateway_without_pods_finds_nobodys_lines(corpus: Corpus, logs: Logs) -> None:
    """With no pods KubeSphere searched all namespaces; here a gateway that never had a pod finds nothing."""
    corpus.add(OTHERS)
    assert await found(logs, Tenant.project("empty", "kubesphere-router-empty", "kubesphere-controls-system")) == []
    assert await found(logs, Tenant.project("empty", CLUSTER, "kubesphere-controls-system", own=False)) == []


async def test_lines_outlive_rollouts(corpus: Corpus, logs: Logs) -> None:
    """Rows came only from pods alive now in KubeSphere; here all replicas of all rollouts are there, with no pod."""
    pods = [pod_of(SHOP, rollout, name) for rollout in ("7d9f8b6c5d", "5c6b9") for name in ("bbbbb", "z2z4z")]
    corpus.add(document(pod, pod) for pod in pods)
    assert sorted(await found(logs, OWN)) == sorted(pods)


async def test_a_project_sees_its_share_of_the_cluster_gateway(corpus: Corpus, logs: Logs) -> None:
    """Access lines of the project's routes are its own; those of others, errors and the default backend aren't."""
    mine = [access("shop-tea-80", path="/1"), json_access("shop", uri="/2")]
    others = [access("blog-web-80"), access("upstream-default-backend"), access(""), json_access("blog"), "shop error"]
    corpus.add(document(log, pod_of(CLUSTER), at=NOON - n) for n, log in enumerate([*mine, *others]))
    assert await found(logs, SHARE) == mine
    assert len(await found(logs, ALL)) == 7


@pytest.mark.parametrize(
    "text",
    [
        access("shop-tea-80"),
        f'" 200 2 "-" "x" 77 0.004 [shop-tea-80] [] 1.1.1.1:80 2 0.004 200 x\n{access("shop-tea-80")}',
        "shop-tea-80",
        "[shop-tea-80] []",
        '","namespace":"shop","x":"',
        "\\x22 [shop-tea-80]",
        "\r\n" + json_access("shop"),
    ],
    ids=str,
)
async def test_user_agent_and_referer_dont_decide_whose_a_line_is(corpus: Corpus, logs: Logs, text: str) -> None:
    """Whatever a client of blog sends, its lines don't get into shop's logs, and stay in blog's."""
    lines = [
        access("blog-web-80", agent=text, referer=text, user=text, path="/" + text, request_id=text),
        json_access("blog", http_user_agent=text, uri="/" + text),
    ]
    corpus.add(document(log, pod_of(CLUSTER)) for log in lines)
    assert await found(logs, SHARE) == []
    blog = Tenant.project("blog", CLUSTER, "kubesphere-controls-system", own=False)
    assert sorted(await found(logs, blog)) == sorted(line.strip() for line in lines)


async def test_a_client_writes_no_lines_into_unescaped_logs(corpus: Corpus, logs: Logs) -> None:
    """With log-format-escape-none a bent line is nobody's."""
    bent = access("blog-web-80", agent="AGENT").replace("AGENT", 'x" 77 0.004 [shop-tea-80] [] 1.1.1.1:80 2 0 200 "')
    corpus.add([document(bent, pod_of(CLUSTER))])
    assert await found(logs, SHARE) == []


async def test_routes_in_doubt_are_left_out_and_that_is_said(corpus: Corpus) -> None:
    """`shop-tea-web-80` may be shop's or shop-tea's: neither sees it, and the answer says why lines are missing."""

    async def projects() -> frozenset[str]:
        return frozenset({"shop", "shop-tea"})

    corpus.add([document(access("shop-tea-web-80"), pod_of(CLUSTER)), document(json_access("shop"), pod_of(CLUSTER))])
    logs = Logs(corpus.settings(), projects)
    try:
        for name, total in (("shop", 1), ("shop-tea", 0)):
            tenant = Tenant.project(name, CLUSTER, "kubesphere-controls-system", own=False)
            answer = await logs.answer(tenant, read({}))
            assert answer["query"]["total"] == total
            assert "$namespace" in answer["partial"][0]
    finally:
        await logs.close()


async def test_kk4719_a_new_project_of_an_old_name_sees_only_its_own_time(corpus: Corpus, logs: Logs) -> None:
    """What was logged before the project was created belongs to another one that had its name."""
    corpus.add([document("before", pod_of(SHOP), at=NOON - 1), document("after", pod_of(SHOP), at=NOON + 1)])
    assert await found(logs, replace(OWN, since=datetime.fromtimestamp(NOON, UTC)), start_time="0") == ["after"]
