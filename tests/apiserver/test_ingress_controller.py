"""The ingress controller end to end: objects in a real API server become answers of a real nginx."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import aiohttp

from gateway_operator.names import short_name
from lab.apiserver import ApiCluster
from tests.apiserver.ingress_harness import Stage, Start, World, cluster_flags, ingress, ready, serves, service
from tests.nginx.harness import Backend, Gateway, eventually


async def test_from_object_to_answer(api_cluster: ApiCluster, namespace: str, stage: Stage, backend: Backend) -> None:
    """An Ingress is served, gets its status, follows its endpoints, and is gone when it is deleted; metrics say so."""
    world, gateway, controller = stage.world, stage.gateway, stage.controller

    async def is_ready() -> bool:
        return await ready(controller) == 200

    async def has_status() -> bool:
        return world.status("one") == [{"ip": "192.0.2.7"}]

    await eventually(is_ready)
    await eventually(has_status)
    url = f"http://127.0.0.1:{controller.health}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        text = await answer.text()
    for name in (
        "config_last_reload_successful",
        "success",
        "nginx_process_connections",
        "nginx_process_requests_total",
    ):
        assert f"nginx_ingress_controller_{name}{{" in text
    api_cluster.kubectl("delete", "endpointslice", "web-1", "-n", namespace)
    await eventually(serves(gateway, "one.test", 503))
    world.apply(*service("web", backend.port))
    await eventually(serves(gateway, "one.test"))
    world.delete("ingress", "one")
    await eventually(serves(gateway, "one.test", 404))
    assert controller.stop() == 0


async def test_bad_objects_are_told_and_neighbours_serve(
    api_cluster: ApiCluster,
    namespace: str,
    ingress_class: str,
    gateways: Callable[[], Gateway],
    start: Start,
    backend: Backend,
) -> None:
    """A Secret with a broken pair, a hostile path and a snippet give Events that name field and reason."""
    world, gateway = World(api_cluster, namespace), gateways()
    await gateway.start()
    data = {"tls.crt": base64.b64encode(b"no certificate").decode(), "tls.key": base64.b64encode(b"no key").decode()}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bad"},
        "type": "kubernetes.io/tls",
        "data": data,
    }
    snippet = {"nginx.ingress.kubernetes.io/configuration-snippet": "return 200;"}
    world.apply(
        secret,
        *service("web", backend.port),
        ingress("tls", "tls.test", "web", ingress_class=ingress_class, tls="bad", annotations=snippet),
        ingress(
            "path",
            "path.test",
            "web",
            ingress_class=ingress_class,
            path="/x;return 200 y;",
            kind="ImplementationSpecific",
        ),
        ingress("good", "good.test", "web", ingress_class=ingress_class),
    )
    start(gateway, namespace, *cluster_flags(ingress_class))
    await eventually(serves(gateway, "good.test"))
    await eventually(serves(gateway, "tls.test", 308))
    assert await gateway.backend_of("path.test", "/x") == 404

    async def told() -> bool:
        reasons = {name: {reason for reason, _ in world.events(name)} for name in ("tls", "path", "bad", "good")}
        return reasons == {
            "tls": {"InvalidCertificate", "UnsupportedAnnotation"},
            "path": {"InvalidPath"},
            "bad": {"InvalidCertificate"},
            "good": set(),
        }

    await eventually(told)
    assert "spec.rules[0].http.paths[0].path" in world.events("path")[0][1]


async def test_class_rules(
    api_cluster: ApiCluster,
    namespace: str,
    ingress_class: str,
    gateways: Callable[[], Gateway],
    start: Start,
    backend: Backend,
) -> None:
    """The class by name and the old annotation are ours; another class and no class are not."""
    world, gateway = World(api_cluster, namespace), gateways()
    await gateway.start()
    old = {"kubernetes.io/ingress.class": ingress_class}
    world.apply(
        *service("web", backend.port),
        ingress("named", "named.test", "web", ingress_class=ingress_class),
        ingress("annotated", "annotated.test", "web", annotations=old),
        ingress("other", "other.test", "web", ingress_class="somebody-elses"),
        ingress("none", "none.test", "web"),
    )
    start(gateway, namespace, *cluster_flags(ingress_class))
    await eventually(serves(gateway, "named.test"))
    hosts = ("annotated.test", "other.test", "none.test")
    assert [await gateway.backend_of(host) for host in hosts] == ["a", 404, 404]


async def test_config_map_is_followed_without_a_restart(
    api_cluster: ApiCluster,
    namespace: str,
    ingress_class: str,
    gateways: Callable[[], Gateway],
    start: Start,
    backend: Backend,
) -> None:
    """A changed key takes effect; a bad value is told on the ConfigMap and keeps its default."""
    world, gateway = World(api_cluster, namespace), gateways()
    await gateway.start()
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {}}
    world.apply(config, *service("web", backend.port), ingress("one", "one.test", "web", ingress_class=ingress_class))
    start(gateway, namespace, *cluster_flags(ingress_class), f"--configmap={namespace}/config")
    await eventually(serves(gateway, "one.test"))
    world.apply(config | {"data": {"force-ssl-redirect": "true", "proxy-body-size": "lots"}})
    await eventually(serves(gateway, "one.test", 308))

    async def told() -> bool:
        return "InvalidConfig" in [reason for reason, _ in world.events("config")]

    await eventually(told)


async def test_kk4550_con2293_cluster_and_project_gateway_share_an_ingress(
    api_cluster: ApiCluster,
    namespace: str,
    ingress_class: str,
    gateways: Callable[[], Gateway],
    start: Start,
    backend: Backend,
) -> None:
    """Both serve it, the project's writes the status without flips; when it goes, the cluster's takes over."""
    world, cluster_side, project_side = World(api_cluster, namespace), gateways(), gateways()
    await asyncio.gather(cluster_side.start(), project_side.start())
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {}}
    world.apply(config, *service("web", backend.port), ingress("one", "one.test", "web", ingress_class=ingress_class))
    cluster_flags_ = [*cluster_flags(ingress_class), f"--configmap={namespace}/config"]
    start(cluster_side, namespace, *cluster_flags_)

    def status_is(address: str) -> Callable[[], object]:
        async def check() -> bool:
            return world.status("one") == [{"ip": address}]

        return check

    await eventually(status_is("192.0.2.7"))
    project_flags = [
        f"--watch-namespace={namespace}",
        f"--ingress-class={ingress_class}",
        "--publish-status-address=192.0.2.99",
        "--election-id=project",
    ]
    project = start(project_side, namespace, *project_flags)
    await eventually(serves(project_side, "one.test"))
    assert world.status("one") == [{"ip": "192.0.2.7"}]  # the project's yields until the operator says whose it is
    world.apply(config | {"data": {"status-excluded-namespaces": namespace}})
    await eventually(status_is("192.0.2.99"))
    version = world.get("ingress", "one")["metadata"]["resourceVersion"]
    await asyncio.sleep(3)
    assert world.get("ingress", "one")["metadata"]["resourceVersion"] == version
    assert [await side.backend_of("one.test") for side in (cluster_side, project_side)] == ["a", "a"]
    project.process.kill()  # it releases nothing
    world.apply(config)
    await eventually(status_is("192.0.2.7"))


async def test_status_is_cleared_by_the_last_replica(stage: Stage) -> None:
    """A clean stop takes the address away, since nobody answers there any more."""
    world, controller = stage.world, stage.controller

    async def has_status() -> bool:
        return world.status("one") == [{"ip": "192.0.2.7"}]

    await eventually(has_status)
    assert controller.stop() == 0
    assert world.status("one") == []


def test_names_are_short() -> None:
    """A field manager's name fits the API server's limit with the longest namespace."""
    from gateway_operator.ingress.options import IngressOptions

    options = IngressOptions(pod_namespace="n" * 63, gateway_name="g" * 200, scope="project")
    assert len(options.field_manager) <= 128
    assert short_name("g" * 200, 40) in options.field_manager
