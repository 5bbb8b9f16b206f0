"""The text: read back by a parser, never by a search, so that what is tested is what nginx sees."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import crossplane
import jinja2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_operator.ingress import grammar
from gateway_operator.ingress.certificates import self_signed
from gateway_operator.ingress.graph import GraphBuilder
from gateway_operator.ingress.plan import Endpoint, Machine, Plan, Route, Server, Settings, Upstream
from gateway_operator.ingress.planner import compile_plan, read_config
from gateway_operator.ingress.policies import Ciphers, ClientAuth
from gateway_operator.ingress.problems import Ref
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.static import Rendered, render, version_file
from gateway_operator.ingress.snapshot import Snapshot
from tests.nginx.objects import ingress, rule, world

FAKE = self_signed()
SETTINGS = read_config({}, Ref("ConfigMap", "", "")).settings


def plan_of(*servers: Server, upstreams: tuple[Upstream, ...] = (), config: Settings = SETTINGS) -> Plan:
    """A plan with a default server and these."""
    default = Server("0" * 16, "", (Route("/", False, None, 404),))
    identity = FAKE.certificate.id
    return Plan(Machine(), config, (default, *servers), upstreams, (FAKE.certificate,), identity)


def plan_from(snapshot: Snapshot, machine: Machine | None = None) -> Plan:
    """The plan of a snapshot."""
    graph = GraphBuilder().build(snapshot)
    config = read_config(snapshot.config, Ref("ConfigMap", "", ""))
    return compile_plan(graph, config, machine or Machine(), FAKE).plan


def tree(rendered: Rendered) -> list[dict[str, Any]]:
    """The configuration as crossplane reads it, includes put in their places."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in {**rendered.files, "version.conf": version_file("v1")}.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(content)
        parsed = crossplane.parse(str(folder / "nginx.conf"), combine=True, strict=False)
    assert parsed["status"] == "ok", parsed["errors"]
    return parsed["config"][0]["parsed"]  # type: ignore[no-any-return]


def find(block: list[dict[str, Any]], directive: str) -> Iterator[dict[str, Any]]:
    """All directives of a name, at any depth."""
    for item in block:
        if item["directive"] == directive:
            yield item
        yield from find(item.get("block") or [], directive)


def servers(rendered: Rendered) -> dict[str, list[dict[str, Any]]]:
    """Blocks of the servers by their names."""
    blocks = [item["block"] for item in find(tree(rendered), "server") if "block" in item]
    return {name["args"][0]: block for block in blocks for name in block if name["directive"] == "server_name"}


def shape(block: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """What a block consists of, whatever the users' texts are: directives and their number of arguments."""
    found = []
    for item in block:
        found.append((item["directive"], len(item["args"])))
        found += [(f"{item['directive']}.{name}", count) for name, count in shape(item.get("block") or [])]
    return found


def test_a_prefix_is_two_locations() -> None:
    """The path itself and what lies below it."""
    item = ingress("one", rule("x.test", ("/a", "Prefix", "s"), ("/e", "Exact", "s"), ("/f/", "Exact", "s")))
    block = servers(render(plan_from(world(item, services={"s": 80}))))["x.test"]
    assert [item["args"] for item in block if item["directive"] == "location"] == [
        ["/"],
        ["=", "/a"],
        ["/a/"],
        ["=", "/e"],
        ["=", "/f/"],
        ["=", "/f"],
    ]


def test_wildcards_take_exactly_one_label() -> None:
    """nginx's own wildcard would take several."""
    names = servers(render(plan_of(Server("1" * 16, "*.x.test", ()))))
    assert "~^[^.]+\\.x\\.test$" in names


AUTH = ClientAuth("a" * 16, "on", 1)


@pytest.mark.parametrize("rest", [{}, {"client_auth": AUTH}, {"ciphers": Ciphers("HIGH")}, {"certificate": "c" * 32}])
def test_contexts_only_for_own_handshakes(rest: dict[str, Any]) -> None:
    """nginx makes a TLS context for each certificate that is printed: none for a host that all others' will do for."""
    default = Server("0" * 16, "", (Route("/", False, None, 404),), **rest)
    own = {"client_auth": AUTH}, {"ciphers": Ciphers("", prefer_own=False)}, {"certificate": "d" * 32}
    hosts = [Server(f"{n}" * 16, f"x{n}.test", (), **more) for n, more in enumerate(({}, *own), 1)]
    plan = replace(plan_of(), servers=(default, *hosts))
    parsed = servers(render(plan))
    shown = {
        name: [item["args"][0] for item in block if item["directive"] == "ssl_certificate"]
        for name, block in parsed.items()
    }
    usual = f"certs/{plan.default_certificate}.pem"
    assert shown == {
        "_": [f"certs/{rest.get('certificate', plan.default_certificate)}.pem"],
        "x1.test": [usual] if rest else [],
        "x2.test": [usual],
        "x3.test": [usual],
        "x4.test": [f"certs/{'d' * 32}.pem"],
    }


@pytest.mark.parametrize(("version", "directive", "parameter"), [((1, 22, 1), False, True), ((1, 26, 3), True, False)])
def test_http2_as_the_version_wants_it(version: tuple[int, ...], directive: Any, parameter: Any) -> None:
    """From 1.25.1 on it is a directive, before a parameter of listen."""
    parsed = tree(render(plan_from(world(), Machine(nginx_version=version))))
    assert any(find(parsed, "http2")) is directive
    assert any("http2" in item["args"] for item in find(parsed, "listen")) is parameter


def test_probes_listen_on_loopback_only() -> None:
    """Status and version are nobody's business outside the pod."""
    listens = [item["args"][0] for item in find(tree(render(plan_of())), "listen")]
    assert sorted(listens) == ["127.0.0.1:10246", "443", "80"]


def test_workers_follow_the_cgroup_and_hashes_the_hosts() -> None:
    """`auto` means the container's CPUs; long and many hosts get room."""
    long_host = ".".join(["a" * 60] * 4)
    many = [Server(f"{number:016x}", f"h{number}.test", ()) for number in range(1, 2000)]
    plan = plan_of(Server("f" * 16, long_host, ()), *many)
    parsed = tree(render(plan))
    values = {name: next(find(parsed, name))["args"] for name in ("worker_processes", "server_names_hash_max_size")}
    assert values == {"worker_processes": ["1"], "server_names_hash_max_size": ["4096"]}
    assert int(next(find(parsed, "server_names_hash_bucket_size"))["args"][0]) >= 512


def test_ipv6_endpoints_have_brackets() -> None:
    """An IPv6 address with a port is written as nginx wants it."""
    upstream = Upstream("a" * 16, (Endpoint("fd00::1", 80), Endpoint("10.0.0.1", 81)))
    block = next(find(tree(render(plan_of(upstreams=(upstream,)))), "upstream"))["block"]
    assert [item["args"][0] for item in block if item["directive"] == "server"] == ["[fd00::1]:80", "10.0.0.1:81"]


def test_lines_lead_to_owners() -> None:
    """The line that nginx names is the Ingress that wrote it."""
    routes = (Route("/a", True, None, owner="one"), Route("/b", True, None, owner="two"))
    server = Server("1" * 16, "x.test", routes)
    rendered = render(plan_of(server))
    file = f"servers/{server.id}.conf"
    lines = rendered.files[file].decode().splitlines()
    owners = {
        path: rendered.owner_at(file, number)
        for number, text in enumerate(lines, 1)
        for path in ("/a", "/b")
        if f'"{path}"' in text
    }
    assert owners == {"/a": "one", "/b": "two"}
    assert rendered.owner_at(file, 1) == ""


def test_templates_print_typed_values_only() -> None:
    """A plain string in a template is an error, whatever it says."""
    environment = jinja2.Environment(finalize=v.only_typed, undefined=jinja2.StrictUndefined)
    with pytest.raises(v.UnsafeValueError):
        environment.from_string("{{ value }}").render(value="safe")
    with pytest.raises(v.UnsafeValueError):
        environment.from_string("{{ value }}").render(value=7)
    assert environment.from_string("{{ value }}").render(value=v.quoted('a"b')) == '"a\\"b"'


@pytest.mark.parametrize("text", ["a\nb", "a\0b", "a$b", "\x7f"])
def test_literals_that_nginx_cannot_hold(text: str) -> None:
    """Control characters and variables are no literals."""
    with pytest.raises(v.UnsafeValueError):
        v.quoted(text)


PLAIN = ["/a;b", "/a{b", "/a}b", "/a\nb", '/a"b', "/a'b", "/a$b", "/a\\b", "/a#b", "/a b", "a", "/" + "x" * 2000]
HIDDEN = ["/%0a", "/%00", "/%22", "/%7b", "/%ff"]


@pytest.mark.parametrize("path", PLAIN + HIDDEN)
def test_paths_that_are_refused(path: str) -> None:
    """Each character that means something to nginx, plain and behind %XX."""
    with pytest.raises(grammar.FieldError):
        grammar.path(path, strict=False)


@pytest.mark.parametrize(
    "host", ["a;b", "a b", "*", "*.", "a.*.b", "A.test", "a..b", "-a", "a\n", "a{", "x" * 254, "*a.b"]
)
def test_hosts_that_are_refused(host: str) -> None:
    """Only DNS names and one wildcard in front."""
    with pytest.raises(grammar.FieldError):
        grammar.host(host)


anything = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
hostile = st.text(alphabet=";{}\"'\\$#\n\r \t/a.*~%0()", max_size=20)
EXPECTED: dict[str, list[tuple[str, int]]] = {}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(path=anything | hostile | hostile.map("/{}".format), host=anything | hostile, note=anything | hostile)
def test_no_text_of_users_changes_the_tree(path: str, host: str, note: str) -> None:
    """Whatever stands in host, path, annotation and Secret name: the tree keeps its shape, or lacks the rule."""
    paths = [("/good", "Prefix", "s"), (path, "ImplementationSpecific", "s")]
    item = ingress(
        "one",
        rule("good.test", *paths),
        rule(host, ("/", "Prefix", "s")),
        annotations={"upstream-vhost": note, note: note},
    )
    item["spec"]["tls"] = [{"hosts": [host, "good.test"], "secretName": note}]
    rendered = render(plan_from(world(item, services={"s": 80})))
    known = {
        "server",
        "location",
        "listen",
        "server_name",
        "add_header",
        "set",
        "if",
        "return",
        "ssl_certificate",
        "ssl_certificate_key",
    }
    for file, content in rendered.files.items():
        if file.startswith("servers/"):
            with tempfile.NamedTemporaryFile(suffix=".conf") as copy:
                Path(copy.name).write_bytes(content)
                parsed = crossplane.parse(copy.name, single=True, strict=False, check_ctx=False, check_args=False)
            assert parsed["status"] == "ok"
            block = parsed["config"][0]["parsed"]
            assert [entry["directive"] for entry in block] == ["server"]
            assert {name.rpartition(".")[2] for name, _ in shape(block)} <= known
            assert all(count == 2 or not name.endswith(".set") for name, count in shape(block))
    assert set(servers(rendered)) - {"good.test", "_"} <= {host, "~^[^.]+\\." + host[2:].replace(".", "\\.") + "$"}
