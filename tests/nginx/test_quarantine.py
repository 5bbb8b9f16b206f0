"""The net below validation, with a real nginx: a value that slips through is found, left out and named."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway_operator.cli import cli
from gateway_operator.ingress import annotations
from gateway_operator.ingress.annotation_rows import PREFIX, Row
from gateway_operator.ingress.render import values
from tests.nginx.conftest import running
from tests.nginx.controlled import Controlled, controlled
from tests.nginx.harness import Backend, Gateway, eventually
from tests.nginx.objects import ingress, rule, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed", "hole")


@pytest.fixture
def gateway(nginx_binary: Path, renderer: str) -> Iterator[Gateway]:
    """A gateway of this test alone, once for each renderer."""
    with running(nginx_binary, renderer) as found:
        yield found


@pytest.fixture
def hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any text through as proxy-body-size, in the front and in the renderer."""
    find = annotations.find

    def without_grammar(key: str) -> Row | None:
        row = find(key)
        return dataclasses.replace(row, read=str) if row and row.key == f"{PREFIX}proxy-body-size" else row

    monkeypatch.setattr(annotations, "find", without_grammar)
    monkeypatch.setattr(values, "size", values.Typed)


def sized(name: str, size: str, backend: str = "a") -> dict[str, Any]:
    """An Ingress for `<name>.test` with a text for proxy-body-size."""
    return ingress(name, rule(f"{name}.test", ("/", "Prefix", backend)), annotations={"proxy-body-size": size})


async def serves(gateway: Gateway, host: str, what: str | int = "a") -> None:
    """Wait until a host is answered so."""

    async def answers() -> bool:
        return await gateway.backend_of(host) == what

    await eventually(answers)


async def told(run: Controlled, name: str) -> None:
    """Wait until the owner of an Ingress was told once."""

    async def is_told() -> bool:
        return run.notebook.reasons(name) == ["Quarantined"]

    await eventually(is_told)


async def test_what_slips_through_is_quarantined(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """A hole in a grammar costs the Ingress that uses it, not its neighbours; its correction brings it back."""
    bad, good = sized("bad", "soon"), sized("good", "2m")
    services = {"a": backends["a"].port}
    async with controlled(gateway, world(bad, good, services=services)) as run:
        await serves(gateway, "good.test")
        assert await gateway.backend_of("bad.test") == 404
        await told(run, "bad")
        assert "invalid value" in run.notebook.told[-1][2]
        mended = sized("bad", "7m")
        mended["metadata"]["uid"] = bad["metadata"]["uid"]
        run.show(world(mended, good, services=services))
        await serves(gateway, "bad.test")


async def test_others_go_on_beside_a_bad_one(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """While a bad Ingress stays, another one's changes reach nginx, files and data alike."""
    bad, services = sized("bad", "no size"), {name: backend.port for name, backend in backends.items()}
    async with controlled(gateway, world(sized("good", "2m"), services=services)) as run:
        await serves(gateway, "good.test")
        run.show(world(bad, sized("good", "2m"), services=services))
        await told(run, "bad")
        for number, name in enumerate("bcab"):
            run.show(world(bad, sized("good", f"{number + 3}m", name), services=services))
            await serves(gateway, "good.test", name)


async def test_several_bad_ones_at_once(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Each is found, whether nginx's words lead to it or halving does; the good ones serve."""
    bad = [sized(f"bad{number}", f"{number}x") for number in range(3)]
    good = [sized(f"good{number}", f"{number + 1}m") for number in range(4)]
    async with controlled(gateway, world(*bad, *good, services={"a": backends["a"].port})) as run:
        for item in good:
            await serves(gateway, f"{item['metadata']['name']}.test")
        for item in bad:
            await told(run, item["metadata"]["name"])


async def test_conf_shows_who_is_behind_what(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """The command names the Ingresses of each server, and those that are left out."""
    objects = world(sized("bad", "soon"), sized("good", "2m"), services={"a": backends["a"].port})
    async with controlled(gateway, objects) as run:
        await serves(gateway, "good.test")
        await told(run, "bad")

        async def written() -> bool:
            return bool(json.loads((gateway.folder / "quarantine.json").read_text()))

        await eventually(written)
    shown = await asyncio.to_thread(CliRunner().invoke, cli, ["conf", "--run-dir", str(gateway.folder), "--blame"])
    assert shown.exit_code == 0, shown.output
    assert "good.test  apps/good" in shown.output
    assert "quarantined  apps/bad" in shown.output
    shown = await asyncio.to_thread(CliRunner().invoke, cli, ["conf", "--run-dir", str(gateway.folder), "--json"])
    found = json.loads(shown.output)
    assert "nginx.conf" in found["files"]
    assert found["generation"] == found["lastGood"]
    if gateway.renderer == "dynamic":
        assert found["data"]["keys"] >= found["data"]["snapshotKeys"]["h"] >= 2
