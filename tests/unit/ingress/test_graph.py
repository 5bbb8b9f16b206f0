"""The pure middle: objects to graph to plan, without nginx and without an API server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import trustme

from gateway_operator.ingress.certificates import CertificateError, load_pair, self_signed
from gateway_operator.ingress.classes import is_ours
from gateway_operator.ingress.endpoints import BackendKey, resolve_key
from gateway_operator.ingress.graph import GraphBuilder
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.plan import Endpoint, Machine
from gateway_operator.ingress.planner import Compiled, compile_plan, read_config
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.render.static import render
from gateway_operator.ingress.snapshot import Snapshot
from gateway_operator.networks import is_routable
from tests.nginx.objects import backend, ingress, meta, rule, world

FAKE = self_signed()
CONFIG = Ref("ConfigMap", "gw", "config", "", "v1")


def compiled(snapshot: Snapshot) -> Compiled:
    """Run the pure steps up to the plan."""
    graph = GraphBuilder().build(snapshot)
    return compile_plan(graph, read_config(snapshot.config, CONFIG), Machine(), FAKE)


def slice_of(*endpoints: dict[str, Any], port: int = 8080, name: str = "http", family: str = "IPv4") -> dict[str, Any]:
    """An EndpointSlice."""
    return {"addressType": family, "ports": [{"name": name, "port": port}], "endpoints": list(endpoints)}


def addresses(*slices: dict[str, Any], port: str = "80", ports: list[dict[str, Any]] | None = None) -> list[str]:
    """What a backend resolves to."""
    service = {"spec": {"ports": ports or [{"name": "http", "port": 80, "targetPort": "web"}]}}
    snapshot = Snapshot((), {("n", "s"): service}, {("n", "s"): slices})
    return [f"{e.address}:{e.port}" for e in resolve_key(snapshot, BackendKey("n", "s", port)).endpoints]


def test_equal_objects_give_equal_bytes_in_any_order() -> None:
    """The order of objects and of their fields' delivery changes nothing."""
    items = [
        ingress(name, rule(f"{name}.test", ("/b", "Prefix", "s"), ("/a", "Exact", "s"))) for name in ("c", "a", "b")
    ]
    services = {"s": 8080}
    first = render(compiled(world(*items, services=services)).plan).files
    second = render(compiled(world(*reversed(items), services=services)).plan).files
    assert first == second


def test_ready_endpoints_only_and_draining_ones_as_a_last_resort() -> None:
    """Not ready is out, unset is ready, terminating serves only when nothing else does."""
    ready = {"addresses": ["10.0.0.1"]}
    unready = {"addresses": ["10.0.0.2"], "conditions": {"ready": False}}
    draining = {"addresses": ["10.0.0.3"], "conditions": {"ready": False, "serving": True, "terminating": True}}
    assert addresses(slice_of(ready, unready, draining)) == ["10.0.0.1:8080"]
    assert addresses(slice_of(unready, draining)) == ["10.0.0.3:8080"]
    assert addresses(slice_of(unready)) == []


def test_ports_are_found_by_name_and_both_families_count() -> None:
    """The Service port's name leads to each slice's own number."""
    one = {"addresses": ["10.0.0.1"]}
    six = {"addresses": ["fd00::1"]}
    found = addresses(slice_of(one, port=1), slice_of(six, port=2, family="IPv6"), slice_of(one, port=3, name="other"))
    assert found == ["10.0.0.1:1", "fd00::1:2"]
    assert addresses(slice_of(one), port="http") == addresses(slice_of(one), port="web") == ["10.0.0.1:8080"]


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "224.0.0.1", "::ffff:127.0.0.1", "name"]
)
def test_addresses_that_no_user_may_reach(address: str) -> None:
    """Loopback (the pod's own ports), link-local (metadata services) and the like are never backends."""
    assert not is_routable(address)
    assert addresses(slice_of({"addresses": [address]})) == []


def test_external_names_are_refused() -> None:
    """A Service of type ExternalName has no endpoints here, and its Ingress is told."""
    snapshot = world(ingress("one", rule("x.test", ("/", "Prefix", "s"))), services={"s": 80})
    snapshot.services["apps", "s"]["spec"]["type"] = "ExternalName"
    problems = GraphBuilder().build(snapshot).problems
    assert [problem.reason for problem in problems] == ["UnsupportedBackend"]


def test_equal_age_is_settled_by_uid() -> None:
    """Two Ingresses of the same second: the smaller UID wins, whatever the order."""
    one, two = (ingress(name, rule("x.test", ("/", "Prefix", name))) for name in ("one", "two"))
    for order in ((one, two), (two, one)):
        route = GraphBuilder().build(world(*order, services={"one": 1, "two": 2})).hosts[1].routes[0]
        assert route.backend.service == "one"


def test_same_paths_of_different_types_live_together() -> None:
    """Exact and Prefix on one path are two routes, not a conflict."""
    item = ingress("one", rule("x.test", ("/a", "Prefix", "s"), ("/a/", "Prefix", "s"), ("/a", "Exact", "s")))
    graph = GraphBuilder().build(world(item, services={"s": 80}))
    assert [(route.path, route.exact) for route in graph.hosts[1].routes] == [("/a", True), ("/a", False)]
    assert graph.problems == ()


def test_unsupported_annotations_are_one_problem() -> None:
    """All names that aren't honoured stand in one Event; a bad value has one of its own."""
    notes = {"mirror-target": "/x", "server-snippet": "return 200;", "nonsense": "1", "proxy-body-size": "big"}
    found = GraphBuilder().build(world(ingress("one", rule("x.test"), annotations=notes))).problems
    assert [(problem.reason, problem.field.rpartition("/")[2]) for problem in found] == [
        ("InvalidAnnotation", "proxy-body-size]"),
        ("UnsupportedAnnotation", "metadata.annotations"),
    ]
    for text in ("mirror-target (", "nonsense", "server-snippet (never offered"):
        assert text in found[1].message


def test_resource_backends_are_told() -> None:
    """A backend that is no Service is left out."""
    item = ingress(
        "one", {"host": "x.test", "http": {"paths": [{"path": "/", "backend": {"resource": {"kind": "X"}}}]}}
    )
    assert [p.reason for p in GraphBuilder().build(world(item)).problems] == ["UnsupportedBackend"]


def test_left_out_ingresses_keep_their_hosts_free() -> None:
    """What is quarantined has no routes, its neighbours keep theirs."""
    bad, good = (
        ingress("bad", rule("x.test", ("/", "Prefix", "s"))),
        ingress("good", rule("y.test", ("/", "Prefix", "s"))),
    )
    graph = GraphBuilder().build(world(bad, good, services={"s": 80}), left_out=frozenset({bad["metadata"]["uid"]}))
    assert [host.name for host in graph.hosts] == ["", "y.test"]


def test_default_backend_flag_fills_what_nobody_matches() -> None:
    """`--default-backend-service` answers instead of 404."""
    snapshot = world(ingress("one", rule("x.test", ("/a", "Prefix", "s"))), services={"s": 80, "d": 81})
    graph = GraphBuilder(default_backend="apps/d").build(snapshot)
    assert graph.default_backend is not None
    assert graph.default_backend.service == "d"


def test_certificates_that_nginx_would_refuse() -> None:
    """A key of another certificate, garbage and nothing at all have their own sentences; no key material is quoted."""
    authority = trustme.CA()
    one, two = authority.issue_cert("one.test"), authority.issue_cert("two.test")
    chain, other = one.cert_chain_pems[0].bytes(), two.private_key_pem.bytes()
    for pair, text in (((chain, other), "doesn't belong"), ((b"x", other), "tls.crt"), ((chain, b"x"), "tls.key")):
        with pytest.raises(CertificateError, match=text) as error:
            load_pair(*pair)
        assert "PRIVATE" not in str(error.value)


def test_certificates_cover_hosts_by_name() -> None:
    """A wildcard covers one label; a wildcard host needs the wildcard itself."""
    pair = replace(FAKE, names=("*.x.test", "y.test"))
    covered = {
        host: pair.covers(host) for host in ("a.x.test", "*.x.test", "x.test", "a.b.x.test", "y.test", "*.y.test")
    }
    assert [host for host, yes in covered.items() if yes] == ["a.x.test", "*.x.test", "y.test"]
    assert replace(FAKE, names=(), common_name="z.test").covers("z.test")


CLASSES = {
    "ours": {"spec": {"controller": "example.test/ours"}},
    "nginx": {"spec": {"controller": "example.test/theirs"}},
}


@pytest.mark.parametrize(
    ("spec_class", "annotation", "classes", "flags", "expected"),
    [
        ("ours", None, CLASSES, {}, True),
        ("nginx", None, CLASSES, {}, False),
        ("nginx", None, CLASSES, {"ingress_class_by_name": True}, True),
        ("missing", "nginx", CLASSES, {"watch_ingress_without_class": True}, False),
        ("nginx", None, None, {}, True),
        ("ours", None, None, {}, False),
        (None, "nginx", CLASSES, {}, True),
        (None, "other", CLASSES, {"watch_ingress_without_class": True}, False),
        (None, None, CLASSES, {}, False),
        (None, None, CLASSES, {"watch_ingress_without_class": True}, True),
    ],
)
def test_classes_as_upstream(
    spec_class: str | None, annotation: str | None, classes: Any, flags: dict[str, bool], expected: Any
) -> None:
    """ingressClassName decides, then the annotation, then the flag for those without a class."""
    item: dict[str, Any] = {"metadata": meta("one"), "spec": {}}
    if spec_class is not None:
        item["spec"]["ingressClassName"] = spec_class
    if annotation is not None:
        item["metadata"]["annotations"] = {"kubernetes.io/ingress.class": annotation}
    options = IngressOptions(controller_class="example.test/ours", **flags)
    assert is_ours(item, classes, options) is expected


def test_config_problems_name_the_key() -> None:
    """A bad value is told and its default stays; our default connect timeout is one second."""
    config = read_config({"proxy-body-size": "huge", "nonsense": "1", "keep-alive": "10"}, CONFIG)
    assert (config.settings.proxy_body_size, config.settings.keep_alive) == ("1m", "10s")
    assert config.settings.proxy_connect_timeout == "1s"
    assert {(p.reason, p.field) for p in config.problems} == {
        ("InvalidConfig", "data[proxy-body-size]"),
        ("UnsupportedConfig", "data[nonsense]"),
    }
    assert read_config({"proxy-connect-timeout": "7"}, CONFIG).settings.proxy_connect_timeout == "7s"


def test_upstreams_are_shared_between_hosts_but_not_between_protocols() -> None:
    """One Service is one pool, unless one user wants TLS and the other doesn't."""
    items = [
        ingress("one", rule("x.test", ("/", "Prefix", "s")), rule("y.test", ("/", "Prefix", "s"))),
        ingress("two", rule("z.test", ("/", "Prefix", "s")), annotations={"backend-protocol": "HTTPS"}),
    ]
    snapshot = world(*items, services={"s": 8080})
    snapshot.slices["apps", "s"][0]["endpoints"] = [{"addresses": ["10.0.0.1"]}]
    plan = compiled(snapshot).plan
    assert [upstream.endpoints for upstream in plan.upstreams] == [(Endpoint("10.0.0.1", 8080),)] * 2


def test_problems_start_with_the_field() -> None:
    """An Event's text leads to the line in the user's manifest."""
    assert Problem(CONFIG, "R", "spec.x", "is bad").text == "spec.x: is bad"
    assert backend("s")["service"]["port"] == {"number": 80}
