"""Settings: three sources, one order, clear errors, and docs that name every one of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic.alias_generators import to_camel

from gateway_operator.errors import ConfigError
from gateway_operator.settings import (
    DEFAULT_WORKING_NAMESPACE,
    ClustersSettings,
    GatewaySettings,
    OperatorSettings,
    load_settings,
    parse_address,
)
from gateway_operator.settings_api import load_api_settings

DOCS = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return file


def test_flags_win_over_environment_wins_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source wins over the one below it, key by key."""
    file = write(tmp_path, "gateway: {namespace: from-file, tag: from-file, repository: from-file}\n")
    monkeypatch.setenv("GATEWAY_OPERATOR_GATEWAY__TAG", "from-env")
    monkeypatch.setenv("GATEWAY_OPERATOR_GATEWAY__REPOSITORY", "from-env")
    gateway = load_settings(file, {"gateway": {"repository": "from-flag", "tag": None}}).gateway
    assert (gateway.namespace, gateway.tag, gateway.repository) == ("from-file", "from-env", "from-flag")


def test_flags_that_say_nothing_make_no_section(tmp_path: Path) -> None:
    """The API starts from a file without a section `api`, whatever flags of that section aren't given."""
    flags = {"api": {"listen": None, "helm": None, "tls": {"certFile": None, "keyFile": Path("tls.key")}}}
    found = load_api_settings(write(tmp_path, "logLevel: warning\n"), None, flags).api
    assert (found.listen, found.tls.cert_file, found.tls.key_file) == (":9443", None, Path("tls.key"))


def test_the_old_file_of_kubesphere_is_read_as_it_is(tmp_path: Path) -> None:
    """The section that KubeSphere's users have is taken unchanged."""
    file = write(
        tmp_path,
        "gateway:\n  watchesPath: /var/helm-charts/watches.yaml\n  repository: kubesphere/nginx-ingress-controller\n"
        "  tag: v1.1.0\n  namespace: kubesphere-controls-system\n",
    )
    gateway = load_settings(file, {}).gateway
    assert gateway.watches_path == Path("/var/helm-charts/watches.yaml")
    assert (gateway.repository, gateway.tag) == ("kubesphere/nginx-ingress-controller", "v1.1.0")


def test_empty_namespace_means_each_projects_own() -> None:
    """An empty working namespace is none, but cluster gateways still have their place."""
    gateway = load_settings(None, {"gateway": {"namespace": ""}}).gateway
    assert gateway.namespace is None
    assert gateway.cluster_gateway_namespace == DEFAULT_WORKING_NAMESPACE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gateway: {watchPath: x}", r"gateway\.watchPath: Extra inputs"),
        ("historyMax: 1", r"historyMax: .*greater than or equal to 2"),
        ("logLevel: loud", "logLevel"),
        ("- a list", "must be a map"),
        ("a: [", "can't be read as YAML"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, message: str) -> None:
    """A wrong key or value is an error that names file and key."""
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(write(tmp_path, text), {})
    assert "config.yaml" in str(caught.value)


def test_docs_name_every_setting() -> None:
    """No setting is undocumented."""
    text = DOCS.read_text()
    keys = [to_camel(name) for name in OperatorSettings.model_fields if name not in {"gateway", "clusters"}]
    keys += [f"gateway.{to_camel(name)}" for name in GatewaySettings.model_fields]
    keys += [f"clusters.{to_camel(name)}" for name in ClustersSettings.model_fields]
    assert [key for key in keys if f"`{key}`" not in text] == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8080", (None, 8080)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]:80", ("::1", 80)),
        ("", None),
        ("0", None),
        (":0", None),
    ],
)
def test_addresses(text: str, address: tuple[str | None, int] | None) -> None:
    """Host and port; nothing, or port 0, is off."""
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["metricsBindAddress: '8080'", "healthProbeBindAddress: ':x'", "rolloutWaves: ['0']"])
def test_wrong_addresses_and_waves(tmp_path: Path, text: str) -> None:
    """They are named like any other wrong value."""
    with pytest.raises(ConfigError, match=text.split(":", 1)[0]):
        load_settings(write(tmp_path, text), {})


def test_watch_namespace_of_other_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comma list; empty means all; our own variable wins."""
    monkeypatch.setenv("WATCH_NAMESPACE", "a, b")
    assert load_settings(None, {}).watch_namespaces == ("a", "b")
    monkeypatch.setenv("WATCH_NAMESPACE", "")
    assert load_settings(None, {}).watch_namespaces == ()
    monkeypatch.setenv("GATEWAY_OPERATOR_WATCH_NAMESPACES", '["c"]')
    assert load_settings(None, {}).watch_namespaces == ("c",)
