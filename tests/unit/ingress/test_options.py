"""Upstream's flags, as charts and people write them."""

from __future__ import annotations

import pytest

from gateway_operator.errors import ConfigError
from gateway_operator.ingress.options import parse_flags


def test_go_style_flags() -> None:
    """Booleans stand alone or with a value, other values with = or a space, one dash or two."""
    argv = ["--ingress-class-by-name", "--update-status=false", "--http-port", "8080", "-v=3", "--election-ttl=1m30s"]
    options = parse_flags([*argv, "--configmap=gw/config"], {"POD_NAME": "p", "POD_NAMESPACE": "gw"})
    assert options.ingress_class_by_name
    assert not options.update_status
    assert (options.http_port, options.v, options.election_ttl, options.configmap) == (8080, 3, 90.0, "gw/config")
    assert (options.pod_name, options.pod_namespace, options.scope) == ("p", "gw", "cluster")


def test_a_watched_namespace_means_project_scope() -> None:
    """The scope follows from the flag and can be said by the environment."""
    assert parse_flags(["--watch-namespace=apps"], {}).scope == "project"
    assert parse_flags(["--watch-namespace=apps"], {"GATEWAY_SCOPE": "cluster"}).scope == "cluster"


def test_known_flags_without_effect_are_named() -> None:
    """They are kept for a warning, with and without a value."""
    argv = [
        "--sync-rate-limit=0.5",
        "--enable-topology-aware-routing",
        "--maxmind-license-key",
        "abc",
        "--http-port=81",
    ]
    options = parse_flags(argv, {})
    assert options.ignored == ("enable-topology-aware-routing", "maxmind-license-key", "sync-rate-limit")
    assert options.http_port == 81


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--no-such-flag=1"], "--no-such-flag"),
        (["--http-port=eighty"], "whole number"),
        (["--update-status=maybe"], "true or false"),
        (["--http-port"], "needs a value"),
        (["--configmap=name-only"], "namespace/name"),
        (["--watch-namespace-selector=a=b"], "not supported"),
        (["--election-ttl=soon"], "duration"),
        (["word"], "no flag"),
    ],
)
def test_mistakes_name_the_flag(argv: list[str], text: str) -> None:
    """A typing mistake must not go unseen."""
    with pytest.raises(ConfigError, match=text):
        parse_flags(argv, {})
