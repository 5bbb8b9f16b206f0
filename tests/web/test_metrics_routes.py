"""Metrics over HTTP: real API, real users and rights, a real Prometheus with known traffic of several projects."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab.apiserver import ApiCluster
from lab.control import free_ports
from lab.servers import prometheus as lab
from tests.observe.metrics.traffic import SCRAPE, Gateway, Pod, Request, values
from tests.web.conftest import WORKING, People, Served, User, eventually

METRICS = "/kapis/monitoring.kubesphere.io/v1alpha3"
CLUSTER = "kubesphere-router-kubesphere-system"
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "views-metrics"},
    "rules": [{"apiGroups": ["monitoring.kubesphere.io"], "resources": ["ingresses"], "verbs": ["get"]}],
}


@pytest.fixture(scope="session")
def measuring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Prometheus]:
    """A Prometheus for these tests alone."""
    server = lab.Prometheus.start(tmp_path_factory.mktemp("prometheus") / "run")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def measured(
    with_crds: ApiCluster, account: Path, measuring: lab.Prometheus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The API with that Prometheus behind it."""
    with_crds.kubectl("apply", "-f", "-", input=json.dumps(ROLE))
    chosen = {"url": measuring.url, "scrapeInterval": SCRAPE, "timeout": 3}
    settings = {"kubeconfig": account, "observability": {"prometheus": chosen}}
    running = Served(with_crds, tmp_path_factory.mktemp("measured"), settings)
    running.start()
    yield running
    running.stop()


class World:
    """Projects and gateways of one test, and what they served."""

    def __init__(self, cluster: ApiCluster, served: Served, prometheus: lab.Prometheus) -> None:
        self.cluster, self.served, self.prometheus = cluster, served, prometheus
        self.people = People(served)
        self.end, self.pod = 0.0, ""

    def project(self) -> str:
        """A new project."""
        name = f"p-{uuid.uuid4().hex[:8]}"
        self.cluster.kubectl("create", "namespace", name)
        return name

    async def gateway(self, project: str = "") -> str:
        """Make the cluster's gateway, or a project's, and wait until the API knows it; returns its name."""
        name = f"kubesphere-router-{project}" if project else CLUSTER
        scope = {"enabled": True, "namespace": project} if project else {}
        manifest = {
            "apiVersion": "gateway.kubesphere.io/v1alpha1", "kind": "Gateway",
            "metadata": {"name": name, "namespace": WORKING}, "spec": {"controller": {"scope": scope}},
        }  # fmt: skip
        self.cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))

        async def known() -> bool:
            gateways = self.served.running.services.gateways
            return any(entry.name == name for entry in gateways.all())

        await eventually(known)
        return name

    def served_by(self, gateway: str, counts: dict[tuple[str, str], int]) -> None:
        """Write what a gateway served: (project, Ingress) → requests, within the last five minutes before `end`."""
        start = datetime.now(UTC).timestamp() // SCRAPE * SCRAPE + 30  # later than the projects' creation
        self.end = start + 300
        self.pod = f"pod-{uuid.uuid4().hex[:8]}"  # the cluster gateway's name is the same in all tests
        found = Gateway(gateway, WORKING, [Pod(self.pod, start)])
        found.requests = [
            Request(self.end - 100, self.pod, namespace, ingress, "200", 0.02, 1000, 100)
            for (namespace, ingress), count in counts.items()
            for _ in range(count)
        ]
        self.prometheus.write(found.series(start, self.end))

    async def ask(self, user: User, namespace: str, **params: Any) -> Any:
        """Ask for one moment; returns each metric's number, or its rows."""
        answer = await user.get(f"{METRICS}/namespaces/{namespace}/ingresses", params={"time": str(self.end), **params})
        assert answer.status == 200, answer.text
        return values(answer.json)


@pytest.fixture
def world(empty: ApiCluster, measured: Served, measuring: lab.Prometheus) -> World:
    """No gateways yet."""
    return World(empty, measured, measuring)


async def gone(world: World) -> None:
    """Wait until the API knows that the Gateways of the last test are gone."""

    async def none() -> bool:
        return not world.served.running.services.gateways.all()

    await eventually(none)


async def test_a_project_sees_its_share_of_the_cluster_gateway(world: World) -> None:
    """Without a gateway of its own a project gets its own requests and nothing else, under either name of the job."""
    await gone(world)
    ours, theirs = world.project(), world.project()
    name = await world.gateway()
    world.served_by(name, {(ours, "web"): 7, (ours, "api"): 3, (theirs, "web"): 100})
    user = world.people.having("views-metrics", ours)
    for params in ({}, {"job": f"kubesphere-router-{ours}-metrics"}, {"job": f"{CLUSTER}-metrics"}):
        found = await world.ask(user, ours, **params)
        assert found["ingress_request_count"] == 10
        assert found["ingress_active_connections"] == []
        rows = found["ingress_request_volume_by_ingress"]
        assert {row["metric"]["ingress"] for row in rows} == {"web", "api"}
        assert {row["metric"]["namespace"] for row in rows} == {ours}
    one = await user.get(f"{METRICS}/namespaces/{ours}/ingresses/web", params={"time": str(world.end)})
    assert values(one.json)["ingress_request_count"] == 7
    sorted_ = await user.get(
        f"{METRICS}/namespaces/{ours}/ingresses",
        params={"time": str(world.end), "sort_metric": "ingress_request_volume_by_ingress", "limit": "1", "page": "2"},
    )
    assert (sorted_.json["total_page"], sorted_.json["total_item"], sorted_.json["page"]) == (2, 2, 2)
    assert values(sorted_.json)["ingress_request_volume_by_ingress"][0]["metric"]["ingress"] == "api"


async def test_nobody_sees_others(world: World) -> None:
    """Other namespaces are 403, also the cluster's; a namespace without any gateway is 404; no parameter widens."""
    await gone(world)
    ours, theirs = world.project(), world.project()
    user = world.people.having("views-metrics", ours)
    nothing = await user.get(f"{METRICS}/namespaces/{ours}/ingresses")
    assert (nothing.status, nothing.reason) == (404, "NoGateway")
    shared, own = await world.gateway(), await world.gateway(theirs)
    world.served_by(shared, {(theirs, "web"): 100})
    world.served_by(own, {(theirs, "web"): 50})
    for namespace in (theirs, "kubesphere-system", WORKING, f"{ours}%2F..%2F{theirs}", f"..%2F{theirs}", "%2e%2e"):
        answer = await user.get(f"{METRICS}/namespaces/{namespace}/ingresses")
        assert answer.status in {403, 404}, (namespace, answer.text)
    found = await world.ask(user, ours)
    assert found["ingress_request_count"] == []
    closing = 'x"} or nginx_ingress_controller_requests{exported_namespace=~".*'
    for name in ("job", "pod", "resources_filter", "metrics_filter", "duration", "sort_metric", "step"):
        answer = await user.get(
            f"{METRICS}/namespaces/{ours}/ingresses", params={"time": str(world.end), name: closing}
        )
        assert answer.status in {200, 404, 422}, (name, answer.text)
        assert answer.status != 200 or theirs not in answer.text
        assert answer.status != 200 or not any(values(answer.json).values())
    foreign = await user.get(f"{METRICS}/namespaces/{ours}/ingresses", params={"job": f"{own}-metrics"})
    assert foreign.status == 404
    path = await user.get(f"{METRICS}/namespaces/{ours}/ingresses/x%22%7D%20or%20a%7Bb=%22")
    assert (path.status, path.reason) == (422, "BadParameter")


async def test_the_cluster_is_for_those_who_may_see_all(world: World) -> None:
    """A viewer of the whole cluster sees every project on the cluster gateway, and the gateway itself."""
    await gone(world)
    ours, theirs = world.project(), world.project()
    name = await world.gateway()
    world.served_by(name, {(ours, "web"): 7, (theirs, "web"): 100})
    found = await world.ask(world.people.having("views-metrics"), "kubesphere-system", pod=world.pod)
    assert found["ingress_request_count"] == 107
    assert found["ingress_active_connections"] == 10


async def test_a_project_sees_its_own_gateway(world: World) -> None:
    """With a gateway of its own a project sees that, what it uses included; the cluster's by the job's name."""
    await gone(world)
    ours = world.project()
    shared, own = await world.gateway(), await world.gateway(ours)
    world.served_by(shared, {(ours, "web"): 5})
    world.served_by(own, {(ours, "web"): 8})
    user = world.people.having("views-metrics", ours)
    found = await world.ask(user, ours)
    assert (found["ingress_request_count"], found["ingress_active_connections"]) == (8, 10)
    share = await world.ask(user, ours, job=f"{shared}-metrics")
    assert (share["ingress_request_count"], share["ingress_active_connections"]) == (5, [])


async def test_wrong_parameters_are_422(world: World) -> None:
    """A wrong parameter is named; nothing is guessed instead."""
    await gone(world)
    ours = world.project()
    user = world.people.having("views-metrics", ours)
    for params in ({"duration": "5x"}, {"start": "5", "end": "1"}, {"sort_type": "up"}, {"resources_filter": "("}):
        answer = await user.get(f"{METRICS}/namespaces/{ours}/ingresses", params=params)
        assert (answer.status, answer.reason) == (422, "BadParameter")
        assert answer.json["problems"][0]["field"] in {*params}


async def test_kk6309_the_catalogue(world: World) -> None:
    """R10: everybody who is known may read the names, and they are documented."""
    answer = await world.people.having().get(f"{METRICS}/metrics/catalog")
    assert answer.status == 200
    names = [item["name"] for item in answer.json["items"]]
    assert len([item for item in answer.json["items"] if item["standard"]]) == 15
    page = (Path(__file__).parents[2] / "docs" / "spec" / "gateway-metrics.md").read_text()
    assert not [name for name in names if f"`{name}`" not in page]


@pytest.mark.parametrize("how", ["stopped", "gone"])
async def test_without_prometheus(
    world: World, measuring: lab.Prometheus, account: Path, tmp_path: Path, how: Callable[[], None]
) -> None:
    """A Prometheus that hangs is 504, one that is away 503; gateways go on being listed meanwhile."""
    await gone(world)
    ours = world.project()
    await world.gateway(ours)
    people, apart = world.people, None
    pid = measuring.daemons.pid("prometheus")
    assert pid is not None
    if how == "gone":
        chosen = {"url": f"http://127.0.0.1:{free_ports(1)[0]}", "timeout": 5}
        settings = {"kubeconfig": account, "observability": {"prometheus": chosen}}
        apart = Served(world.cluster, tmp_path, settings)
        apart.start()
        people = People(apart)
    else:
        os.kill(pid, signal.SIGSTOP)
    try:
        user = people.admin()
        params = {"time": str(time.time() + 60)}  # now the project is too young
        answer = await user.get(f"{METRICS}/namespaces/{ours}/ingresses", params=params)
        expected = (504, "BackendTimeout") if how == "stopped" else (503, "BackendDown")
        assert (answer.status, answer.reason, answer.json["down"]) == (*expected, "prometheus")
        assert "127.0.0.1" not in answer.text
        before = time.monotonic()
        assert (await user.get("/gateways")).status == 200
        assert time.monotonic() - before < 60
    finally:
        os.kill(pid, signal.SIGCONT)
        if apart:
            apart.stop()
