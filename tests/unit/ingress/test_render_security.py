"""Users' texts against both renderers: what is printed is parsed, and must be what a harmless value gives.

An attack is whatever changes the tree: one directive more, one argument more, a block that nobody asked for. So each
payload is put into each annotation, and the result must be the tree without the annotation (the value was refused), the
tree of shut paths (it guards something), or the tree of a harmless value.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import crossplane
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

import lab.nginx
from gateway_operator.crds.config_keys import KEYS
from gateway_operator.ingress.annotation_rows import Support
from gateway_operator.ingress.annotation_table import TABLE
from gateway_operator.ingress.certificates import self_signed
from gateway_operator.ingress.graph import GraphBuilder
from gateway_operator.ingress.plan import Machine
from gateway_operator.ingress.planner import compile_plan, read_config
from gateway_operator.ingress.problems import Ref
from gateway_operator.ingress.render import dynamic, static
from gateway_operator.ingress.render.common import Rendered, version_file
from gateway_operator.ingress.snapshot import Snapshot
from tests.nginx.objects import configmap, opaque, rule, secret, site, world
from tests.unit.ingress.attacks import BASES, MARK, PAYLOADS, VALID

FAKE = self_signed()
CA = trustme.CA()
PAIR = CA.issue_cert("client.test")
RUN = Path(tempfile.mkdtemp(prefix="gw-"))
LUA = Path(static.__file__).parents[1] / "lua"
MACHINE = Machine(18080, 18443, 18246, modules=str(lab.nginx.modules()), lua=str(LUA), run_dir=str(RUN))
ROWS = {row.name: row for row in TABLE if row.support is not Support.UNSUPPORTED}


def rendered(
    *objects: Any, config: Mapping[str, str] | None = None, spoil: Callable[[Snapshot], None] | None = None
) -> tuple[Rendered, Rendered]:
    """Both renderers' files for these Ingresses, among objects that are in order until `spoil` has changed them."""
    chain = b"".join(blob.bytes() for blob in PAIR.cert_chain_pems)
    snapshot = world(
        site("evil.test", name="main", created="2020-01-01T00:00:00Z"),
        *objects,
        services={"a": 80, "b": 80},
        secrets=[
            opaque("users", auth="ann:{PLAIN}secret\n"),
            opaque("ca", **{"ca.crt": CA.cert_pem.bytes()}),
            secret("client", chain, PAIR.private_key_pem.bytes(), ca_crt=CA.cert_pem.bytes()),
        ],
        configmaps=[configmap("headers", X_Allowed="yes")],
        names={"auth.test": ("10.0.0.9",)},
        config={"global-allowed-response-headers": "X-Allowed"} | dict(config or {}),
    )
    if spoil is not None:
        spoil(snapshot)
    gateway = read_config(snapshot.config, Ref("ConfigMap", "", ""), snapshot.configmaps)
    graph = GraphBuilder().build(snapshot, config=gateway)
    plan = compile_plan(graph, gateway, MACHINE, FAKE).plan
    return static.render(plan), dynamic.render(plan)


def note(name: str) -> str:
    """An annotation as `objects` takes it."""
    return ROWS[name].key.removeprefix("nginx.ingress.kubernetes.io/")


def company(name: str, base: str) -> dict[str, str]:
    """The annotations beside one."""
    return {key: value for key, value in BASES[base].items() if key != note(name)}


def annotated(name: str, value: str | None, base: str) -> tuple[Rendered, Rendered]:
    """The files with one annotation, in its company."""
    return rendered(one(name, value, base, "evil.test"))


def one(name: str, value: str | None, base: str, host: str) -> Any:
    """An Ingress with one annotation, in its company."""
    notes = company(name, base)
    if value is not None:
        notes[note(name)] = value
    path = ("/", "Prefix", "b") if "canary" in notes or name == "canary" else ("/p", "Prefix", "a")
    return site(host, notes, path, name=f"evil-{host}", tls=[([host], "")])


def shape(block: list[dict[str, Any]]) -> list[Any]:
    """Directives, numbers of arguments, blocks: everything but the texts."""
    found = [(item["directive"], len(item["args"]), shape(item.get("block") or [])) for item in block]
    return sorted(entry for entry in found if entry[0] != "#")


def parse(files: Rendered) -> list[dict[str, Any]]:
    """The configuration as crossplane reads it, all includes in their places."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(files, folder)
        parsed = crossplane.parse(
            str(folder / "nginx.conf"), comments=True, combine=True, strict=False, check_ctx=False, check_args=False
        )
    assert parsed["status"] == "ok", parsed["errors"]
    return list(parsed["config"][0]["parsed"])


def write(files: Rendered, folder: Path) -> None:
    """Write a generation."""
    for file, content in {**files.files, "version.conf": version_file("v")}.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)


def comments(block: list[dict[str, Any]]) -> list[str]:
    """What nginx takes for comments: a text of users there becomes configuration with the next line break."""
    found: list[str] = []
    for item in block:
        found += [item["comment"]] if item["directive"] == "#" else comments(item.get("block") or [])
    return found


NAMING = {"set", "map", "geo", "split_clients", "upstream", "limit_req_zone", "limit_conn_zone", "auth_request_set"}


def names(block: list[dict[str, Any]]) -> list[str]:
    """What the configuration gives names to: variables, zones, upstreams, inner locations."""
    found = []
    for item in block:
        if item["directive"] in NAMING:
            given = item["args"][:1] if item["directive"] == "set" else item["args"]  # what follows is a value
            found += [text for text in given if text.startswith(("$", "zone=", "u_", "p_"))]
        found += names(item.get("block") or [])
    return found


@pytest.fixture(scope="module", autouse=True)
def _clean() -> Iterator[None]:
    """Remove the folder of the sockets."""
    yield
    shutil.rmtree(RUN, ignore_errors=True)


@functools.cache
def harmless(name: str) -> list[list[Any]]:
    """The trees that are allowed for an annotation, of each renderer."""
    value, base = VALID[name]
    shut = annotated("auth-secret", "missing", "basic")
    return [[shape(parse(item)) for item in both] for both in (annotated(name, value, base), shut)]


@functools.cache
def plain(name: str) -> tuple[Rendered, Rendered]:
    """The files of an annotation's company without the annotation itself."""
    return annotated(name, None, VALID[name][1])


def test_every_annotation_is_tried() -> None:
    """The table above is whole."""
    assert set(VALID) == set(ROWS)


@pytest.mark.parametrize("name", sorted(VALID))
def test_payloads_in_annotations(name: str) -> None:
    """No payload, alone or behind a harmless value, makes another tree than that value or its absence."""
    value, base = VALID[name]
    texts = [text for payload in PAYLOADS for text in (payload, value + payload)]
    worlds = [rendered(*(one(name, text, base, f"e{n}.test") for n, text in enumerate(found))) for found in
              (texts, [None] * len(texts))]  # fmt: skip
    if all(mine.files == without.files for mine, without in zip(*worlds, strict=True)):
        return  # all of them were refused
    for text in texts:
        check(name, text, base)


def check(name: str, text: str, base: str) -> None:
    """Render one value with both renderers and compare what came of it."""
    for number, files in enumerate(annotated(name, text, base)):
        assert not any(MARK in file for file in files.files)
        assert not any(MARK in key and not key.startswith("h:") for key in files.data)
        if files.files == plain(name)[number].files:
            continue
        tree = parse(files)
        assert not any(MARK in found for found in comments(tree)), (name, text)
        allowed = [trees[number] for trees in harmless(name)] + [shape(parse(plain(name)[number]))]
        assert shape(tree) in allowed, (name, text)
        assert not any(MARK in entry for entry in names(tree)), (name, text)


PLACES = (
    "path", "regex path", "host", "service", "port", "secret", "tls host", "name", "namespace", "uid", "annotation",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_in_rules(place: str, payload: str) -> None:
    """Hosts, paths and references: a bad one is left out, and the good host beside it keeps its tree."""
    item = site("evil.test", {}, ("/p", "ImplementationSpecific", "a"), name="evil", tls=[(["evil.test"], "client")])
    entry = item["spec"]["rules"][0]["http"]["paths"][0]
    if place in {"path", "regex path"}:
        entry["path"] = f"/{payload}"
        if place == "regex path":
            item["metadata"]["annotations"]["nginx.ingress.kubernetes.io/use-regex"] = "true"
    elif place == "host":
        item["spec"]["rules"].append(rule(payload, ("/", "Prefix", "a")))
    elif place == "service":
        entry["backend"] = {"service": {"name": payload, "port": {"number": 80}}}
    elif place == "port":
        entry["backend"] = {"service": {"name": "a", "port": {"name": payload}}}
    elif place == "secret":
        item["spec"]["tls"][0]["secretName"] = payload
    elif place == "tls host":
        item["spec"]["tls"][0]["hosts"].append(payload)
    elif place == "annotation":
        item["metadata"]["annotations"][f"nginx.ingress.kubernetes.io/{payload}"] = payload
    else:
        item["metadata"][place] = payload
    for files in rendered(item):
        tree = parse(files)
        assert not any(MARK in found for found in comments(tree))
        top = [entry["directive"] for entry in tree if entry["directive"] != "#"]
        assert set(top) <= TOP_LEVEL
        assert set(directives(tree)) <= KNOWN
        assert not any(MARK in found for found in names(tree))
        assert not any(MARK in file for file in files.files)


def spoiled(source: str, payload: str) -> Callable[[Snapshot], None]:
    """What puts a payload into one of the objects that Ingresses refer to."""

    def spoil(snapshot: Snapshot) -> None:
        service: Any = snapshot.services["apps", "a"]["spec"]
        slices: Any = snapshot.slices["apps", "a"]
        users: Any = snapshot.secrets["apps", "users"]["data"]
        headers: Any = snapshot.configmaps["apps", "headers"]["data"]
        if source == "address":
            slices[0]["endpoints"] = [{"addresses": [payload, "10.0.0.7"]}]
        elif source == "cluster IP":
            service["clusterIP"] = payload
        elif source == "external name":
            service |= {"type": "ExternalName", "externalName": payload}
        elif source == "password":
            lines = f"ann:{{PLAIN}}secret\n{payload}\nbob:{payload}\n"
            users["auth"] = base64.b64encode(lines.encode()).decode()
        elif source == "header":
            headers[payload] = "x"
        else:
            headers["X-Allowed"] = payload

    return spoil


# what users write beside Ingresses, with a harmless value
SOURCES = {
    "address": "10.0.0.8",
    "cluster IP": "10.0.0.8",
    "external name": "auth.test",
    "header": "X-Allowed",
    "header value": "yes",
    "password": "eve:{PLAIN}secret",
}


def referring(source: str) -> Any:
    """An Ingress that refers to all kinds of objects."""
    notes = BASES["basic"] | {"custom-headers": "headers", "service-upstream": str(source == "cluster IP").lower()}
    return site("evil.test", dict(notes), ("/p", "Prefix", "a"), name="evil")


@functools.cache
def usual(source: str) -> list[set[str]]:
    """The directives that it needs when all is in order."""
    found = rendered(referring(source), spoil=spoiled(source, SOURCES[source]))
    return [set(directives(parse(files))) | KNOWN for files in found]


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("source", SOURCES)
def test_payloads_in_other_objects(source: str, payload: str) -> None:
    """EndpointSlices, Services, ConfigMaps and Secrets are written by users, too."""
    found = rendered(referring(source), spoil=spoiled(source, payload))
    for files, allowed in zip(found, usual(source), strict=True):
        tree = parse(files)
        assert set(directives(tree)) <= allowed
        assert not any(MARK in found for found in (*names(tree), *comments(tree), *files.files))
        assert not any(MARK.encode() in files.files[name] for name in files.files if name.startswith("passwords/"))


@pytest.mark.parametrize("key", sorted(name for name, found in KEYS.items() if found.honoured))
def test_payloads_in_the_configmap(key: str) -> None:
    """What a ConfigMap's key takes is no more than a value: the tree has only directives that nginx.conf has anyway."""
    default = KEYS[key].default
    good = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    without = settings_of({})
    for text in [text for payload in PAYLOADS for text in (payload, good + payload)]:
        if settings_of({key: text}) == without:
            continue  # refused
        for files in rendered(site("evil.test", name="evil"), config={key: text}):
            tree = parse(files)
            assert set(directives(tree)) <= KNOWN, (key, text)
            assert not any(MARK in found for found in (*names(tree), *comments(tree))), (key, text)


def settings_of(config: dict[str, str]) -> Any:
    """What a ConfigMap comes to, but its problems."""
    return dataclasses.replace(read_config(config, Ref("ConfigMap", "", "")), problems=())


def directives(block: list[dict[str, Any]]) -> list[str]:
    """All directives, at any depth; entries of maps and the like are texts, not directives."""
    found = []
    for item in block:
        found.append(item["directive"])
        if item["directive"] not in {"map", "geo", "split_clients"}:
            found += directives(item.get("block") or [])
    return found


TOP_LEVEL = {
    "daemon", "pid", "load_module", "error_log", "worker_processes", "worker_shutdown_timeout", "worker_cpu_affinity",
    "worker_rlimit_nofile", "events", "http", "stream", "env", "pcre_jit",
}  # fmt: skip
KNOWN = set(directives([entry for files in rendered(site("evil.test", name="evil", tls=[(["evil.test"], "")]),
    site("rx.test", {"use-regex": "true"})) for entry in parse(files)])) | {"#"}  # fmt: skip


hostile = st.text(alphabet=";{}\"'\\$#\n\r \t/a.*~%0()=,:|^@", max_size=20)
anything = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(VALID)), text=hostile | anything, behind=st.booleans())
def test_any_text_in_annotations(name: str, text: str, behind: bool) -> None:  # noqa: FBT001
    """Whatever the text: the tree is one of the harmless ones, or at least of the same directives as they."""
    value, base = VALID[name]
    files = annotated(name, value + text if behind else text, base)
    for number, item in enumerate(files):
        if item.files == plain(name)[number].files:
            continue
        allowed = {found for trees in harmless(name) for found in flat(trees[number])}
        allowed |= set(flat(shape(parse(plain(name)[number]))))
        assert set(flat(shape(parse(item)))) <= allowed


def flat(tree: list[Any]) -> list[str]:
    """The paths to all directives of a tree, without the entries of maps."""
    found = []
    for directive, _, inner in tree:
        found.append(directive)
        if directive not in {"map", "geo", "split_clients"}:
            found += [f"{directive}/{path}" for path in flat(inner)]
    return found


@settings(max_examples=15, deadline=None)
@given(texts=st.lists(st.tuples(st.sampled_from(sorted(VALID)), hostile | anything), min_size=1, max_size=12))
def test_nginx_takes_what_is_printed(texts: list[tuple[str, str]]) -> None:
    """A sample goes to `nginx -t`: what the front lets pass never stops a reload."""
    objects = []
    for number, (name, text) in enumerate(texts):
        notes = company(name, VALID[name][1]) | {note(name): text}
        objects.append(site(f"h{number}.test", notes, ("/p", "Prefix", "a"), tls=[([f"h{number}.test"], "")]))
    for files in rendered(*objects):
        nginx_takes(files)


@pytest.mark.parametrize("renderer", [0, 1])
def test_nginx_takes_all_harmless_values(renderer: int) -> None:
    """Every annotation at once, each on a host of its own."""
    objects = []
    for number, (name, (value, base)) in enumerate(VALID.items()):
        notes = company(name, base) | {note(name): value}
        objects.append(site(f"h{number}.test", notes, ("/p", "Prefix", "a"), tls=[([f"h{number}.test"], "")]))
    nginx_takes(rendered(*objects)[renderer])


def nginx_takes(files: Rendered) -> None:
    """Let `nginx -t` read a generation."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(files, folder)
        (RUN / "data.sock").unlink(missing_ok=True)  # nginx -t leaves it
        argv = [str(lab.nginx.nginx()), "-t", "-q", "-e", "stderr", "-p", name, "-c", str(folder / "nginx.conf")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
