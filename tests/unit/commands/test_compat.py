"""The compat report over files: what works, what works differently, what doesn't, and how that is printed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gateway_operator.cli import cli
from gateway_operator.commands.compat import judged, plain, report
from gateway_operator.commands.compat_flags import MISSING, NEEDLESS
from gateway_operator.commands.compat_rules import Finding, Result, config_of, is_controller, of_workload
from gateway_operator.commands.compat_sources import Material, from_files
from gateway_operator.crds.config_keys import KEYS
from gateway_operator.errors import ConfigError
from gateway_operator.ingress.annotation_rows import Support
from gateway_operator.ingress.annotation_table import TABLE
from gateway_operator.ingress.options import REFUSED, UNHONOURED

PREFIX = "nginx.ingress.kubernetes.io/"
CONTROLLER = "registry.example/ingress-nginx/controller:v1.15.1@sha256:00"


def ingress(name: str = "web", path: str = "/", **annotations: str) -> dict[str, Any]:
    """An Ingress; annotations are named with _ for -."""
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    paths = [{"path": path, "pathType": "Prefix", "backend": backend}]
    notes = {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "shop", "annotations": notes},
        "spec": {"rules": [{"host": "a.test", "http": {"paths": paths}}]},
    }


def workload(*args: str, image: str = CONTROLLER) -> dict[str, Any]:
    """A Deployment of the controller."""
    container = {"name": "controller", "image": image, "args": ["/nginx-ingress-controller", *args]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "edge", "namespace": "edge"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def config(name: str = "edge", **data: str) -> dict[str, Any]:
    """A ConfigMap; keys are named with _ for -."""
    keys = {key.replace("_", "-"): value for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "edge"}, "data": keys}


def found(*objects: dict[str, Any]) -> dict[str, Finding]:
    """Findings by name."""
    material = Material()
    for obj in objects:
        {"Ingress": material.ingresses, "ConfigMap": material.configs}.get(obj["kind"], material.workloads).append(obj)
    return {finding.name: finding for finding in judged(material)}


@pytest.mark.parametrize(
    ("annotation", "value", "result"),
    [
        ("proxy_body_size", "8m", Result.WORKS),
        ("whitelist_source_range", "10.0.0.0/8", Result.WORKS),
        ("proxy_body_size", "8m;", Result.UNSUPPORTED),
        ("use_regex", "true", Result.DIFFERS),
        ("configuration_snippet", "return 200;", Result.UNSUPPORTED),
        ("enable_modsecurity", "true", Result.UNSUPPORTED),
        ("of_a_fork", "true", Result.UNSUPPORTED),
    ],
)
def test_annotations(annotation, value, result):
    """The annotation table answers; a value that would be refused counts as not supported."""
    finding = found(ingress(**{annotation: value}))[PREFIX + annotation.replace("_", "-")]
    assert finding.result is result
    assert bool(finding.note) is (result is not Result.WORKS)
    assert (finding.kind, finding.object) == ("Ingress", "shop/web")


def test_every_annotation_of_the_table_says_what_to_expect():
    """What differs or isn't there has a word on it, so that nobody is left with a bare no."""
    assert [row.key for row in TABLE if row.support is not Support.SUPPORTED and not row.note] == []


def test_other_annotations_are_of_no_interest():
    """Those of other programs are not counted."""
    obj = ingress()
    obj["metadata"]["annotations"] = {"cert-manager.io/cluster-issuer": "x", "kubernetes.io/ingress.class": "nginx"}
    assert found(obj) == {}


def test_fields_that_would_be_left_out():
    """A path that can't be served is named, unless the ConfigMap lifts the rule."""
    finding = found(ingress(path="/a~b"))["spec.rules[0].http.paths[0].path"]
    assert finding.result is Result.UNSUPPORTED
    assert "/a~b" in finding.note
    assert set(found(ingress(path="/a~b"), config(strict_validate_path_type="false"))) == {"strict-validate-path-type"}


@pytest.mark.parametrize(
    ("key", "value", "result"),
    [
        ("proxy_body_size", "8m", Result.WORKS),
        ("use_forwarded_headers", "true", Result.DIFFERS),
        ("keep_alive", "long", Result.UNSUPPORTED),
        ("server_snippet", "return 200;", Result.UNSUPPORTED),
        ("server_snippet", "", Result.WORKS),
        ("enable_modsecurity", "true", Result.UNSUPPORTED),
        ("enable_modsecurity", "false", Result.WORKS),
        ("nobody_knows", "true", Result.UNSUPPORTED),
    ],
)
def test_config_keys(key, value, result):
    """The table of ConfigMap keys answers."""
    finding = found(config(**{key: value}))[key.replace("_", "-")]
    assert finding.result is result
    assert bool(finding.note) is (result is not Result.WORKS)


def test_notes_are_of_known_keys():
    """A word on a key that isn't there would never be read."""
    from gateway_operator.commands.compat_rules import CONFIG_NOTES

    assert set(CONFIG_NOTES) <= set(KEYS)


@pytest.mark.parametrize(
    ("flag", "name", "result"),
    [
        ("--election-id=x", "--election-id", Result.WORKS),
        ("--publish-service=$(POD_NAMESPACE)/edge", "--publish-service", Result.WORKS),
        ("-v=2", "--v", Result.WORKS),
        ("--validating-webhook=:8443", "--validating-webhook", Result.WORKS),
        ("--sync-rate-limit=3", "--sync-rate-limit", Result.DIFFERS),
        ("--profiling=false", "--profiling", Result.WORKS),
        ("--annotations-prefix=nginx.ingress.kubernetes.io", "--annotations-prefix", Result.WORKS),
        ("--annotations-prefix=my.io", "--annotations-prefix", Result.UNSUPPORTED),
        ("--disable-catch-all", "--disable-catch-all", Result.UNSUPPORTED),
        ("--healthz-port=abc", "--healthz-port", Result.UNSUPPORTED),
        ("--nobody-knows", "--nobody-knows", Result.UNSUPPORTED),
    ],
)
def test_flags(flag, name, result):
    """The controller's own reader of flags answers."""
    assert found(workload(flag))[name].result is result


def test_flags_whose_value_is_a_word_of_its_own():
    """Go's flags may be written in two words; a switch takes none."""
    findings = list(of_workload(workload("--election-id", "x", "--update-status", "--v", "2")))
    assert [(f.name, f.result) for f in findings] == [
        ("--election-id", Result.WORKS),
        ("--update-status", Result.WORKS),
        ("--v", Result.WORKS),
    ]


def test_every_flag_without_effect_is_explained():
    """The table of words follows the controller's options, and no flag is in both halves."""
    assert set(NEEDLESS) | set(MISSING) == UNHONOURED | REFUSED
    assert set(NEEDLESS) & set(MISSING) == set()


def test_which_workloads_are_controllers():
    """By command or image; sidecars and other programs are not judged."""
    assert is_controller(workload())
    other = workload(image="registry.example/web:1")
    other["spec"]["template"]["spec"]["containers"][0]["args"] = ["--configmap=a/b"]
    assert not is_controller(other)
    other["spec"]["template"]["spec"]["containers"][0]["image"] = CONTROLLER
    assert is_controller(other)
    assert config_of(workload("--configmap=$(POD_NAMESPACE)/settings")) == {("edge", "settings")}


def test_files(tmp_path: Path):
    """Documents, Lists and folders are read; what no YAML is, in a folder, is named and skipped."""
    several = yaml.safe_dump_all([ingress("one"), None, {"kind": "List", "items": [ingress("two"), 5]}, "text"])
    (tmp_path / "a.yaml").write_text(several)
    (tmp_path / "deep").mkdir()
    objects = [workload("--configmap=edge/settings"), config("settings"), config("other"), {"kind": "Ingress"}]
    (tmp_path / "deep" / "b.json").write_text(json.dumps({"kind": "List", "items": objects}))
    (tmp_path / "chart.yaml").write_text("{{ if .Values.x }}\na: b\n{{ end }}")
    (tmp_path / "notes.txt").write_text("kind: Ingress")
    material = from_files([tmp_path], None)
    assert [obj["metadata"]["name"] for obj in material.ingresses] == ["one", "two"]
    assert [obj["metadata"]["name"] for obj in material.configs] == ["settings"]
    assert len(material.workloads) == 1
    assert "chart.yaml: can't be read as YAML" in material.unread[0]
    assert from_files([tmp_path], "other").ingresses == []


def test_files_that_are_named_must_be_readable(tmp_path: Path):
    """A mistake in a name is no empty report."""
    with pytest.raises(ConfigError, match="nothing.yaml: can't be read"):
        from_files([tmp_path / "nothing.yaml"], None)


def test_odd_objects_are_findings():
    """Nothing that a file holds ends the report."""
    odd = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "odd"}, "spec": {"rules": "x"}}
    (finding,) = found(odd).values()
    assert (finding.result, finding.note) == (Result.UNSUPPORTED, "it has no valid form")


def test_hosts_with_regular_expressions():
    """An Ingress whose paths upstream would read as regular expressions for another's sake is told so, and by whom."""
    pair = Material(ingresses=[ingress("a", use_regex="true"), ingress("b")])
    notes = {finding.object: finding.note for finding in judged(pair) if finding.topic == "host"}
    assert set(notes) == {"shop/b"}
    assert notes["shop/b"].startswith("Ingress shop/a has use-regex")
    elsewhere = ingress("c")
    elsewhere["spec"]["rules"][0]["host"] = "b.test"
    quiet = [ingress("a", rewrite_target="/$1"), ingress("b", use_regex="true"), elsewhere]
    assert [f for f in judged(Material(ingresses=quiet)) if f.topic == "host"] == []


def test_summary_counts_and_order():
    """The worst comes first, then the most used; what works is listed by object only when asked for."""
    objects = [ingress(f"web-{n}", proxy_body_size="8m", enable_modsecurity="true") for n in range(3)]
    last = ingress("last", use_regex="true", server_snippet="x")
    last["spec"]["rules"][0]["host"] = "last.test"
    material = Material(ingresses=[*objects, last])
    findings = list(judged(material))
    told = plain(material, findings)
    assert told["counts"] == {"not supported": 4, "works differently": 1, "works": 3}
    assert [(row["result"], row["name"].removeprefix(PREFIX), row["objects"]) for row in told["summary"]] == [
        ("not supported", "enable-modsecurity", 3),
        ("not supported", "server-snippet", 1),
        ("works differently", "use-regex", 1),
        ("works", "proxy-body-size", 3),
    ]
    text = "\n".join(report(material, findings, everything=False, markdown=False))
    by_object = text.partition("By object")[2]
    assert "proxy-body-size" not in by_object
    assert (
        "proxy-body-size"
        in "\n".join(report(material, findings, everything=True, markdown=False)).partition("By object")[2]
    )


def test_what_files_hold_can_do_nothing_to_a_terminal_or_a_page():
    """Control characters are escaped, and so is what has a meaning in Markdown."""
    obj = ingress("web|\x1b[31m<b>", of_a_fork="x")
    obj["metadata"]["annotations"][PREFIX + "a\x1b]0;title\x07"] = "x"
    material = Material(ingresses=[obj])
    text = "\n".join(report(material, list(judged(material)), everything=True, markdown=True))
    assert "\x1b" not in text
    assert "<b>" not in text
    assert all(line.count("|") - line.count("\\|") == 6 for line in text.splitlines() if line.startswith("|"))


@pytest.mark.parametrize(
    ("annotations", "code"),
    [({"proxy_body_size": "8m"}, 0), ({"use_regex": "true"}, 0), ({"enable_modsecurity": "true"}, 1)],
)
def test_exit_codes(tmp_path: Path, annotations: dict[str, str], code: int):
    """1 when something isn't supported, else 0; JSON holds all findings."""
    file = tmp_path / "web.yaml"
    file.write_text(yaml.safe_dump(ingress(**annotations)))
    done = CliRunner().invoke(cli, ["compat", str(file), "--output", "json"])
    assert done.exit_code == code
    assert len(json.loads(done.stdout)["findings"]) == 1
    table = CliRunner().invoke(cli, ["compat", "-", "--all"], input=io.StringIO(file.read_text()).read())
    assert table.exit_code == code
    assert "1 Ingresses" in table.stdout
    assert CliRunner().invoke(cli, ["compat", str(file), "-o", "xml"]).exit_code == 2
