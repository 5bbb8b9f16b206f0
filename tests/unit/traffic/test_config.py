"""The split config: what is written is read back, and what nobody could have written is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_operator.errors import ConfigError
from gateway_operator.traffic.config import (
    Backend,
    Cluster,
    Path,
    Policy,
    Service,
    SplitConfig,
    SplitKey,
    Sticky,
    document,
    dump,
    parse,
)

TEA = Path(
    where="spec.rules[0].http.paths[0]",
    host="cafe.example.com",
    type="Prefix",
    path="/tea",
    backend=Backend(
        service=Service(namespace="default", name="tea-svc", port="80"),
        clusters=(Cluster(name="wuhan", weight=80, mirror="ctp-1"), Cluster(name="zhuhai", weight=20, mirror="ctp-2")),
    ),
)
FULL = Path(
    where="spec.defaultBackend",
    type="Default",
    backend=Backend(
        service=Service(namespace="shop", name="coffee", port="http"),
        split_key=SplitKey(type="Header", name="X-User"),
        fail_on_empty=True,
        min_ready_percent=70,
        sticky=Sticky(cookie="at", seconds=60),
        clusters=(Cluster(name="far", priority=1, distance=2),),
    ),
)


def policy(name: str = "cafe", created: str = "2026-01-01T00:00:00Z", *paths: Path) -> Policy:
    """Return a policy of the namespace default."""
    return Policy(namespace="default", name=name, uid="u", created=created, paths=paths or (TEA,))


def test_what_is_written_is_read_back() -> None:
    """Every field survives, defaults and others, also through values whose keys come in another order."""
    config = SplitConfig.of([policy("cafe", "2026-01-01T00:00:00Z", TEA, FULL)])
    assert parse(dump(config)) == config
    assert parse(json.dumps(document(config), indent=1)) == config


def test_names_are_the_ones_that_gateways_know() -> None:
    """The document has the agreed names, and leaves out what is at its default."""
    [tea, full] = document(SplitConfig.of([policy("cafe", "2026-01-01T00:00:00Z", TEA, FULL)]))["policies"][0]["paths"]
    assert tea["backend"] == {
        "service": {"namespace": "default", "name": "tea-svc", "port": "80"},
        "clusters": [
            {"name": "wuhan", "weight": 80, "mirror": "ctp-1"},
            {"name": "zhuhai", "weight": 20, "mirror": "ctp-2"},
        ],
    }
    assert full["backend"] == {
        "service": {"namespace": "shop", "name": "coffee", "port": "http"},
        "splitKey": {"type": "Header", "name": "X-User"},
        "failOnEmpty": True,
        "minReadyPercent": 70,
        "sticky": {"cookie": "at", "seconds": 60},
        "clusters": [{"name": "far", "priority": 1, "distance": 2}],
    }


def test_the_digest_names_the_content() -> None:
    """The order in which policies come says nothing, their content does; a reader takes the writer's word for it."""
    old, new = policy("old", "2026-01-01T00:00:00Z"), policy("new", "2026-01-02T00:00:00Z")
    config = SplitConfig.of([new, old])
    assert [one.name for one in config.policies] == ["old", "new"]
    assert config == SplitConfig.of([old, new])
    assert config.digest != SplitConfig.of([old]).digest
    later = document(config) | {"somethingNew": 1}
    assert parse(json.dumps(later)).digest == config.digest


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"host": "a.example.com;}"}, "host"),
        ({"host": "a.example.com\n"}, "host"),
        ({"path": '/"; return 200;'}, "path"),
        ({"path": "tea"}, "path"),
        ({"type": "Regex"}, "type"),
        ({"backend": {"service": {"namespace": "a", "name": "b;", "port": "80"}}}, "name"),
        ({"backend": {"service": {"namespace": "a", "name": "b", "port": "80"}, "splitKey": {"name": "a b"}}}, "name"),
        ({"backend": {"service": {"namespace": "a", "name": "b", "port": "80"}, "sticky": {"cookie": "a;"}}}, "cookie"),
    ],
)
def test_hostile_text_is_refused(change: dict[str, Any], where: str) -> None:
    """A text that couldn't have come from the operator is refused, and the error names its field."""
    raw = document(SplitConfig.of([policy()]))
    raw["policies"][0]["paths"][0] |= change
    with pytest.raises(ConfigError, match=where):
        parse(json.dumps(raw))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 2, "digest": "0123456789abcdef"}'])
def test_what_is_no_config_is_refused(text: str) -> None:
    """Text that isn't JSON, or of a version to come, is a ConfigError and nothing else."""
    with pytest.raises(ConfigError):
        parse(text)
