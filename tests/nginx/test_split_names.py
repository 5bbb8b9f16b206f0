"""Names of policies, clusters, hosts, paths, headers and cookies: none is a directive, none stops nginx."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_operator.errors import ConfigError
from gateway_operator.ingress.graph import GraphBuilder
from gateway_operator.ingress.plan import Plan
from gateway_operator.ingress.planner import compile_plan, read_config
from gateway_operator.ingress.problems import Ref
from gateway_operator.ingress.render import dynamic, static
from gateway_operator.ingress.snapshot import Snapshot
from gateway_operator.traffic.config import Path as PolicyPath
from gateway_operator.traffic.config import Policy, SplitConfig, parse
from tests.nginx.harness import FAKE
from tests.nginx.policies import backend, cluster, members, path, policy
from tests.unit.ingress.test_render_security import MACHINE, shape, write
from tests.unit.ingress.test_render_security import parse as parse_files

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")
ATTACKS = (
    "/a;return 200 injected;",
    "/a}location /b{return 200 injected;}",
    '/a"x',
    "/a\\",
    "/$request_uri",
    "/a#",
    "/a\nreturn 200 injected;",
    "/a b",
    "/服务",
    "/(?{x})",
    "/a%0Ab",
    "/a%3B",
    "/[a",
    "/*.(+",
    "/@a",
    "/=",
    "/~",
    "/.gw/x",
)
texts = st.one_of(st.sampled_from(ATTACKS), st.text(max_size=30), st.from_regex(r"/[!-~]{0,30}", fullmatch=True))
hosts = st.one_of(st.sampled_from(["x.test", "*.x.test", "", "X.test"]), texts)
kinds = st.sampled_from(["Exact", "Prefix", "ImplementationSpecific", "Default"])
words = st.one_of(st.sampled_from(["a-b", "A_b", "9", "Cookie", "x-user", "host", "a" * 64]), texts)


def planned(snapshot: Snapshot) -> Plan:
    """The plan of a snapshot for this machine's nginx."""
    config = read_config({}, Ref("ConfigMap", "", ""))
    return compile_plan(GraphBuilder().build(snapshot, config=config), config, MACHINE, FAKE).plan


def harmless(found: list[Any]) -> None:
    """No directive is there that a policy without evil texts doesn't have."""
    paths = [path(f"x.test/{i}", None, kind, i) for i, kind in enumerate(["Exact", "ImplementationSpecific"])]
    paths.append(path("x.test/t", backend({"w": 1, "z": 2}, key="Cookie:a-b", sticky="c-d")))
    usual = {name for name, _ in flat(shape(parse_files(static.render(planned(members([policy("p", *paths)], BOTH))))))}
    assert {name for name, _ in flat(found)} <= usual | {"rewrite"}


def flat(tree: list[Any]) -> list[tuple[str, int]]:
    """All directives of a tree with their numbers of arguments; rows of maps are none."""
    rows = {"map", "split_clients", "geo"}
    return [item for name, count, inner in tree for item in [(name, count), *flat([] if name in rows else inner)]]


BOTH = {"w": 8001, "z": 8002}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(hosts, texts, kinds), min_size=1, max_size=8))
def test_hosts_and_paths(places: list[tuple[str, str, str]]) -> None:
    """Even unchecked ones: what isn't refused is a literal."""
    to = backend({"w": 1, "z": 2})
    paths = [
        PolicyPath.model_construct(where=f"spec.rules[{i}]", host=host, type=kind, path=text, backend=to)
        for i, (host, text, kind) in enumerate(places)
    ]
    evil = Policy.model_construct(namespace="apps", name="p", uid="u", created="2026", paths=tuple(paths))
    config = SplitConfig.model_construct(version=1, digest="0" * 16, policies=(evil,))
    snapshot = dataclasses.replace(members([], BOTH), splits=config)
    plan = planned(snapshot)
    harmless(shape(parse_files(static.render(plan))))
    for text in dynamic.render(plan).data.values():
        assert b"\n" not in text or b"BEGIN" in text


@settings(max_examples=40, deadline=None)
@given(words, words, words)
def test_other_names(key: str, cookie: str, name: str) -> None:
    """A config with such a name is refused as a whole, or the name is harmless."""
    to = backend([cluster("tea", "w", 1), cluster("tea", "z", 1)], key="Header:h", sticky="c")
    found = json.loads(json.dumps(members([policy("p", path("x.test/t", to))], BOTH).splits.model_dump(by_alias=True)))
    place = found["policies"][0]["paths"][0]["backend"]
    for kind in ("Header", "Cookie"):
        place["splitKey"] = {"type": kind, "name": key}
        place["sticky"]["cookie"] = cookie
        place["clusters"][0]["name"] = name
        try:
            config = parse(json.dumps(found))
        except ConfigError:
            continue
        plan = planned(dataclasses.replace(members([], BOTH), splits=config))
        harmless(shape(parse_files(static.render(plan))))
        dynamic.render(plan)


def test_d12_d13_many_and_strange_names(nginx_binary: Path, tmp_path: Path) -> None:
    """D12, D13: names that differ only in their dashes stay apart; hundreds of long hosts pass `nginx -t` unwarned."""
    strange = [
        path(f"x.test{text.replace(';', '')}", backend({"w": 1, "z": 3}), kind, i)
        for i, text in enumerate(("/茶", "/a(b", "/a.b", "/a+b", "/a~b", "/~a", "/a*", "/a%20b", "/a@b"))
        for kind in ("Exact", "Prefix", "ImplementationSpecific")
    ]
    many = [
        path(
            f"{'long-label-' * 5}{i}.{'deep.' * 20}test/tea", backend({"w": 1 + i % 7, "z": 3}, sticky="a-b"), number=i
        )
        for i in range(150)
    ]
    twins = [
        path("y.test/1", backend([cluster("b-c", "a", 1)], service="b-c")),
        path("y.test/2", backend([cluster("c", "a-b", 1)], service="c")),
    ]
    ports = {"w": 8001, "z": 8002}
    snapshot = members([policy("p", *strange), policy("q", *many), policy("r", *twins)], ports)
    for service, name in (("b-c", "a"), ("c", "a-b")):
        more = members([], {name: 8003}, service=service)
        snapshot.services.update(more.services)
        snapshot.slices.update(more.slices)
    plan = planned(snapshot)
    assert len({item.id for item in plan.upstreams}) == 4
    rendered = static.render(plan)
    write(rendered, tmp_path)
    (tmp_path / "prefix").mkdir()
    argv = [str(nginx_binary), "-t", "-p", str(tmp_path / "prefix"), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"]
    user = ["-g", "user root root;"] if os.geteuid() == 0 else []
    done = subprocess.run([*argv, *user], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr, done.stderr
    assert "$clusters_" in rendered.files["shared.conf"].decode()
    assert (
        rendered.files["shared.conf"].count(b"split_clients") == 7 + 1
    )  # one for each vector, and one for who is alone
