"""Logs over HTTP: real API, real users and rights, a real Elasticsearch with lines of several projects."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway_operator.web.problems import Problem
from lab.apiserver import ApiCluster
from lab.servers.elasticsearch import Elasticsearch
from tests.observe.logs.corpus import CLUSTER, Corpus, access, document, indices, pod_of
from tests.observe.logs.relay import Relay
from tests.web.conftest import WORKING, People, Served, User, eventually

ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "views-logs"},
    "rules": [{"apiGroups": ["gateway.kubesphere.io"], "resources": ["gateways/logs"], "verbs": ["get"]}],
}
TIMEOUT = 5


@pytest.fixture(scope="module")
def stored(elasticsearch: Elasticsearch) -> Iterator[Corpus]:
    """Indices of these tests."""
    with indices(elasticsearch) as corpus:
        corpus.create()
        yield corpus


@pytest.fixture(scope="module")
def logging(
    with_crds: ApiCluster, account: Path, stored: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, Relay]]:
    """The API with that Elasticsearch behind it, and the way there."""
    with_crds.kubectl("apply", "-f", "-", input=json.dumps(ROLE))
    loop = asyncio.new_event_loop()
    relay = Relay(stored.server.port)
    loop.run_until_complete(relay.up())
    loop.run_until_complete(relay.down())
    chosen = stored.settings(urls=(f"https://127.0.0.1:{relay.port}",), timeout=TIMEOUT, retries=0)
    given = {"elasticsearch": chosen.model_dump(mode="json", by_alias=True)}
    running = Served(with_crds, tmp_path_factory.mktemp("logging"), {"kubeconfig": account, "observability": given})
    running.start()
    running.run(relay.up())
    loop.close()
    yield running, relay
    running.run(relay.down())
    running.stop()


class World:
    """Projects and gateways of one test, and their lines."""

    def __init__(self, cluster: ApiCluster, served: Served, relay: Relay, corpus: Corpus) -> None:
        self.cluster, self.served, self.relay, self.corpus = cluster, served, relay, corpus
        self.people = People(served)

    async def project(self, *, gateway: bool = True) -> str:
        """Return a new project, which has a gateway of its own or not."""
        name = f"p{uuid.uuid4().hex[:8]}"
        self.cluster.kubectl("create", "namespace", name)
        if gateway:
            await self.gateway(f"kubesphere-router-{name}", name)
        return name

    async def gateway(self, name: str, project: str = "") -> None:
        """Make a Gateway and wait until the API knows it."""
        scope = {"enabled": True, "namespace": project} if project else {}
        manifest = {
            "apiVersion": "gateway.kubesphere.io/v1alpha1", "kind": "Gateway",
            "metadata": {"name": name, "namespace": WORKING}, "spec": {"controller": {"scope": scope}},
        }  # fmt: skip
        self.cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))

        async def known() -> bool:
            assert self.served.running is not None
            return any(entry.name == name for entry in self.served.running.services.gateways.all())

        await eventually(known)

    def lines(self, workload: str, *lines: str) -> None:
        """Store lines of a gateway's pod, written a moment after everything was created."""
        self.corpus.add([document(line, pod_of(workload), at=time.time() + 5) for line in lines])

    def viewer(self, project: str) -> User:
        """Return somebody who may see a project's logs and nothing else."""
        return self.people.having("views-logs", project)


@pytest.fixture
async def world(empty: ApiCluster, logging: tuple[Served, Relay], stored: Corpus) -> AsyncIterator[World]:
    """No gateways yet; the way to Elasticsearch is whole."""
    served, relay = logging
    yield World(empty, served, relay, stored)
    relay.mode = "pass"


def url(project: str, gateway: str = "") -> str:
    """The path of a gateway's logs."""
    return f"/namespaces/{project}/gateways/{gateway or f'kubesphere-router-{project}'}/logs"


def logged(answer: Any) -> list[str]:
    """The lines of an answer."""
    assert answer.status == 200, answer.text
    return [record["log"].strip() for record in answer.json["query"]["records"]]


async def test_every_operation(world: World) -> None:
    """A project's viewer gets each operation of its gateway in KubeSphere's shape, an export as a file."""
    project = await world.project()
    world.lines(f"kubesphere-router-{project}", *(access(path=f"/{n}") for n in range(12)))
    user = world.viewer(project)
    page = await user.get(url(project), params={"log_query": "tea", "size": "2"})
    assert (len(logged(page)), page.json["query"]["total"]) == (2, 12)
    counted = await user.get(url(project), params={"operation": "statistics"})
    assert counted.json == {"statistics": {"containers": 1, "logs": 12}}
    rows = await user.get(url(project), params={"operation": "histogram", "interval": "1d"})
    assert rows.json["histogram"]["total"] == 12
    file = await user.get(url(project), params={"operation": "export", "format": "csv"})
    assert file.headers["Content-Disposition"] == f'attachment; filename="kubesphere-router-{project}.csv"'
    assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert file.text.count("\r\n") == 13


async def test_who_may_ask(world: World) -> None:
    """Without credentials 401; without the right, or with it in another project, 403, for every operation alike."""
    project, other = await world.project(), await world.project()
    world.lines(f"kubesphere-router-{project}", "secret")
    for operation in ("query", "statistics", "histogram", "export"):
        params = {"operation": operation}
        assert (await world.served.user().get(url(project), params=params)).status == 401
        for user in (world.people.having(), world.viewer(other)):
            answer = await user.get(url(project), params=params)
            assert (answer.status, "secret" in answer.text) == (403, False)
    assert (await world.viewer(other).get(url("kubesphere-system", CLUSTER))).status == 403


async def test_no_path_leads_to_another_projects_logs(world: World) -> None:
    """Another project's gateway under one's own namespace, or path tricks, give no line."""
    mine, other = await world.project(), await world.project()
    world.lines(f"kubesphere-router-{other}", "secret")
    user = world.viewer(mine)
    tricks = [
        url(mine, f"kubesphere-router-{other}"),
        url(mine, "*"),
        url(mine, "kubesphere-router-*"),
        f"/namespaces/{mine}/../{other}/gateways/kubesphere-router-{other}/logs",
        f"/namespaces/{mine}%2f..%2f{other}/gateways/kubesphere-router-{other}/logs",
        f"/namespaces/{mine}/gateways/..%2f..%2f{other}%2fgateways%2fkubesphere-router-{other}/logs",
        f"{url(mine)}?namespaces={other}&namespace_query={other}&log_query=secret",
    ]
    for path in tricks:
        answer = await user.get(path)
        assert answer.status in {200, 403, 404, 422}
        assert "secret" not in answer.text
        if answer.status == 200:
            assert logged(answer) == []


async def test_a_namespace_with_no_gateway_gets_no_logs(world: World) -> None:
    """KubeSphere searched all namespaces then; here there is nothing to ask about."""
    project = await world.project(gateway=False)
    world.lines("kubesphere-router-blog", "secret")
    answer = await world.viewer(project).get(url(project))
    assert (answer.status, answer.reason) == (404, "NoGateway")


async def test_a_project_without_a_gateway_sees_its_share_of_the_clusters(world: World) -> None:
    """Of the cluster gateway's lines a project gets its own; who runs the cluster gets all."""
    project, other = await world.project(gateway=False), await world.project(gateway=False)
    await world.gateway(CLUSTER)

    async def known() -> bool:
        try:
            return {project, other} <= set(world.served.run(world.served.running.services.logs.projects()))
        except Problem:
            return False

    await eventually(known)
    mine = access(f"{project}-tea-80")
    forged = access(f"{other}-web-80", agent=access(f"{project}-tea-80"), referer=f"[{project}-tea-80] []")
    world.lines(CLUSTER, mine, forged, f"error of {project}")
    for path in (url(project), url(project, CLUSTER)):
        assert logged(await world.viewer(project).get(path)) == [mine]
    text = await world.viewer(project).get(url(project), params={"operation": "export"})
    assert text.text.count("\n") == 1
    everything = logged(await world.people.admin().get(url("kubesphere-system", CLUSTER), params={"size": "1000"}))
    assert {mine, forged, f"error of {project}"} <= set(everything)


async def test_bad_parameters_are_422_with_their_name(world: World) -> None:
    """A bad time or interval was a 500 in KubeSphere."""
    project = await world.project()
    user = world.viewer(project)
    bad = {"start_time": "yesterday", "operation": "drop", "interval": "soon", "size": "-1", "status": "teapot"}
    for name, value in bad.items():
        answer = await user.get(url(project), params={name: value})
        assert answer.status == 422
        assert name in answer.json["detail"]
        assert answer.reason == "BadParameter"


async def test_elasticsearch_down_slow_and_back(world: World) -> None:
    """Down is 503, slow is 504, both as problems that name it; gateways are served meanwhile, and it all comes back."""
    project = await world.project()
    world.lines(f"kubesphere-router-{project}", "here")
    user, admin = world.viewer(project), world.people.admin()
    world.served.run(world.relay.down())
    for operation in ("query", "export"):
        answer = await user.get(url(project), params={"operation": operation})
        assert (answer.status, answer.reason, answer.json["down"]) == (503, "BackendDown", "elasticsearch")
    assert (await admin.get(f"/namespaces/{project}/gateways")).status == 200
    world.served.run(world.relay.up())
    assert logged(await user.get(url(project))) == ["here"]
    world.relay.mode = "stall"
    answers = await asyncio.gather(*(user.get(url(project)) for _ in range(10)))
    assert {(answer.status, answer.reason) for answer in answers} == {(504, "BackendTimeout")}
    world.relay.mode = "pass"
    assert logged(await user.get(url(project))) == ["here"]


async def test_without_elasticsearch_the_api_says_so(project: str, served: Served, people: People) -> None:
    """An API without logs behind it answers 503 with a reason."""
    del served
    answer = await people.admin().get(url(project))
    assert (answer.status, answer.reason) == (503, "LogsNotConfigured")


async def test_exports_that_clients_leave_let_go(world: World) -> None:
    """Ten exports that are dropped in the middle leave no stream and no open search behind."""
    project = await world.project()
    long = "x y " * 3000  # more of them than sockets hold, so that the rest has to be asked for
    world.lines(f"kubesphere-router-{project}", *([long] * 1500))
    user = world.viewer(project)
    async with user.session() as session:
        for _ in range(10):
            answer = await session.get(f"/kapis/gateway.kubesphere.io/v1alpha1{url(project)}?operation=export")
            assert await answer.content.read(1000)
            answer.close()

    async def gone() -> bool:
        assert world.served.running is not None
        return not world.corpus.open_searches() and not world.served.running.services.limits._streams

    await eventually(gone)
