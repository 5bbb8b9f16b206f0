"""Hosts that nothing concerns stay as they are, and what comes out is what a full build gives."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_operator.ingress.graph import GraphBuilder
from gateway_operator.ingress.plan import Machine, Plan
from gateway_operator.ingress.planner import Planner, read_config
from gateway_operator.ingress.records import difference
from gateway_operator.ingress.render.dynamic import Cache, render
from gateway_operator.ingress.snapshot import Snapshot
from tests.nginx.objects import PREFIX, ingress, meta, rule
from tests.unit.ingress.front import CONFIG, FAKE, cluster, revocations, secret, service

MACHINE = Machine(lua="/lua")
AUTHORITY, REVOKED = trustme.CA().cert_pem.bytes(), revocations()
HOSTS = ["", "a.test", "www.a.test", "b.test", "*.b.test", "c.test"]
SERVICES = ["s", "t", "u"]
NOTES: list[dict[str, str]] = [
    {},
    {"canary": "true", "canary-weight": "10"},
    {"from-to-www-redirect": "true"},
    {"server-alias": "c.test,d.test"},
    {"rewrite-target": "/"},
    {"affinity": "cookie"},
    {"auth-type": "basic", "auth-secret": "users"},
    {"auth-url": "http://t.apps.svc/x"},
    {"auth-url": "http://$host/x"},
    {"default-backend": "u", "custom-http-errors": "404"},
    {"auth-tls-secret": "apps/users"},
    {"auth-tls-secret": "apps/ca"},
    {"backend-protocol": "HTTPS", "gateway.kubesphere.io/health-check-path": "/ok"},
    {"limit-connections": "3"},
    {"custom-headers": "apps/headers"},
    {"app-root": "/x"},
    {"service-upstream": "true"},
]
PATHS = [("/", "Prefix"), ("/x", "Prefix"), ("/x", "Exact")]

ingresses = st.fixed_dictionaries(
    {
        "hosts": st.lists(st.sampled_from(HOSTS), min_size=0, max_size=2, unique=True),
        "path": st.sampled_from(PATHS),
        "service": st.sampled_from(SERVICES),
        "notes": st.sampled_from(NOTES),
        "age": st.integers(0, 3),
        "default": st.booleans(),
    }
)
edits = st.one_of(
    st.tuples(st.just("ingress"), st.sampled_from("abcdef"), st.none() | ingresses),
    st.tuples(st.just("service"), st.sampled_from(SERVICES), st.sampled_from(["gone", "dead", "one", "two", "name"])),
    st.tuples(st.just("secret"), st.just("users"), st.sampled_from(["gone", "bad", "good", "better"])),
    st.tuples(st.just("authority"), st.just("ca"), st.sampled_from(["gone", "good", "revoking"])),
    st.tuples(st.just("headers"), st.just("headers"), st.booleans()),
    st.tuples(st.just("names"), st.just("db.test"), st.sampled_from([(), ("10.7.7.7",), ("127.0.0.1",)])),
    st.tuples(st.just("config"), st.just(""), st.sampled_from(["", "ewma"])),
)


def make_ingress(name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    path = (*wanted["path"], wanted["service"])
    extra = {"default": wanted["service"]} if wanted["default"] else {}
    created = f"2026-01-01T00:00:0{wanted['age']}Z"
    item = ingress(
        name, *(rule(host, path) for host in wanted["hosts"]), annotations=wanted["notes"], created=created, **extra
    )
    item["metadata"]["uid"] = f"uid-{name}"
    return item


def make_service(name: str, kind: str) -> Snapshot:
    if kind == "name":
        return service(name, type="ExternalName", externalName="db.test")
    return service(name, *{"dead": [], "one": ["10.0.0.1"], "two": ["10.0.0.1", "10.0.0.2"]}[kind])


def make_secret(kind: str) -> dict[str, Any]:
    auth = {
        "bad": b"x",
        "good": b"a:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=",
        "better": b"b:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=",
    }
    return secret("users", auth=auth[kind])


class World:
    """Objects that are edited; what isn't edited stays the very same object."""

    def __init__(self) -> None:
        self.parts: dict[tuple[str, str], Any] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self.config: dict[str, str] = {"global-allowed-response-headers": "X-A"}

    def edit(self, kind: str, name: str, value: Any) -> None:
        key = (kind, name)
        if kind == "names":
            self.names = {name: value}
        elif kind == "config":
            self.config = self.config | ({"load-balance": value} if value else {})
        elif value in {None, "gone", False} if not isinstance(value, dict) else False:
            self.parts.pop(key, None)
        elif kind == "ingress":
            self.parts[key] = make_ingress(name, value)
        elif kind == "service":
            self.parts[key] = make_service(name, value)
        elif kind == "secret":
            self.parts[key] = make_secret(value)
        elif kind == "authority":
            self.parts[key] = secret("ca", ca__crt=AUTHORITY, **({"ca__crl": REVOKED} if value == "revoking" else {}))
        else:
            self.parts[key] = {"metadata": meta("headers"), "data": {"X-A": "1"}}

    def snapshot(self) -> Snapshot:
        return cluster(*self.parts.values(), config=self.config, names=dict(self.names))


def built(builder: GraphBuilder, planner: Planner, snapshot: Snapshot) -> tuple[Any, Plan]:
    config = read_config(snapshot.config, CONFIG, snapshot.configmaps)
    graph = builder.build(snapshot, config=config)
    return graph, planner.compile(graph, config, MACHINE, FAKE).plan


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(edits, min_size=1, max_size=4), min_size=1, max_size=8))
def test_changes_add_up_to_a_full_build(steps: list[list[tuple[str, str, Any]]]) -> None:
    """After any edits, graph and plan are those of a builder that never saw anything else."""
    world, builder, planner, cache = World(), GraphBuilder(default_backend="apps/u"), Planner(), Cache()
    data: Mapping[str, bytes] = {}
    for step in steps:
        for edit in step:
            world.edit(*edit)
        snapshot = world.snapshot()
        graph, plan = built(builder, planner, snapshot)
        fresh_graph, fresh_plan = built(GraphBuilder(default_backend="apps/u"), Planner(), copy.deepcopy(snapshot))
        for item in dataclasses.fields(graph):
            assert getattr(graph, item.name) == getattr(fresh_graph, item.name), item.name
        assert plan == fresh_plan
        rendered, fresh = render(plan, cache), render(fresh_plan)
        assert rendered == fresh
        assert difference(data, rendered.data) == difference(data, fresh.data)
        data = rendered.data


def test_only_concerned_hosts_are_made_anew() -> None:
    """Everybody else keeps the identical objects; endpoints touch upstreams only."""
    world, builder, planner = World(), GraphBuilder(), Planner()
    for number in range(20):
        hosts = {
            "hosts": [f"h{number}.test"],
            "path": PATHS[0],
            "service": "s",
            "notes": {},
            "age": 0,
            "default": False,
        }
        world.edit("ingress", f"i{number}", hosts)
    world.edit("service", "s", "one")
    _, first = built(builder, planner, world.snapshot())
    world.parts["ingress", "i7"] = copy.deepcopy(world.parts["ingress", "i7"])
    world.parts["ingress", "i7"]["metadata"]["annotations"] = {f"{PREFIX}proxy-body-size": "3m"}
    _, second = built(builder, planner, world.snapshot())
    changed = [b.host for a, b in zip(first.servers, second.servers, strict=True) if a is not b]
    assert changed == ["h7.test"]
    world.edit("service", "s", "two")
    _, third = built(builder, planner, world.snapshot())
    assert all(a is b for a, b in zip(second.servers, third.servers, strict=True))
    assert [len(upstream.endpoints) for upstream in third.upstreams] == [2]
    world.edit("service", "s", "dead")
    _, fourth = built(builder, planner, world.snapshot())
    assert fourth.upstreams == ()
    assert {route.upstream for server in fourth.servers for route in server.routes} == {None}
