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
from gateway_operator.crds import config_keys
from gateway_operator.ingress import annotations
from gateway_operator.ingress.annotation_rows import PREFIX, Row
from gateway_operator.ingress.culprits import FOUND_AT_ONCE
from gateway_operator.ingress.render import values
from gateway_operator.ingress.supervised import Supervised
from tests.nginx.conftest import running
from tests.nginx.controlled import Controlled, controlled
from tests.nginx.harness import Backend, Gateway, eventually, ports
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


async def applied(run: Controlled, left_out: list[str]) -> bool:
    """Whether `/applied` names these Ingresses as left out, and no others."""
    said = run.controller.state.now.as_json()["quarantine"]
    return said["count"] == len(left_out) and [one["ingress"] for one in said["ingresses"]] == left_out


async def test_what_slips_through_is_quarantined(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """A hole in a grammar costs the Ingress that uses it, not its neighbours; its correction brings it back."""
    bad, good = sized("bad", "soon"), sized("good", "2m")
    services = {"a": backends["a"].port}
    async with controlled(gateway, world(bad, good, services=services)) as run:
        await serves(gateway, "good.test")
        assert await gateway.backend_of("bad.test") == 404
        await told(run, "bad")
        assert "invalid value" in run.notebook.told[-1][2]
        await eventually(lambda: applied(run, ["apps/bad"]))
        mended = sized("bad", "7m")
        mended["metadata"]["uid"] = bad["metadata"]["uid"]
        run.show(world(mended, good, services=services))
        await serves(gateway, "bad.test")
        await eventually(lambda: applied(run, []))


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


class Counting(Supervised):
    """Counts how often nginx judges: whole configurations, and trials that nobody else waits for."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway.folder, status_port=gateway.status)
        self.whole = self.trials = 0

    async def apply(self, generation: str) -> None:
        """A configuration that is to be served."""
        self.whole += 1
        await super().apply(generation)

    async def test(self, generation: str) -> None:
        """One that is only judged."""
        self.trials += 1
        await super().test(generation)


async def test_what_a_bad_one_costs_a_neighbour(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """One refused configuration more, and a small one to judge who changed beside it; a change alone costs one."""
    gateway.supervised = counted = Counting(gateway)
    services = ports(backends)
    old, new, last = sized("good", "2m"), sized("good", "9m", "b"), sized("good", "3m", "c")
    last["metadata"]["uid"] = new["metadata"]["uid"] = old["metadata"]["uid"]
    bad, other = sized("bad", "soon"), sized("other", "4m")

    async def costs(good: dict[str, Any], backend: str) -> tuple[int, int]:
        before = counted.whole, counted.trials
        run.show(world(bad, good, other, services=services))
        await serves(gateway, "good.test", backend)
        await told(run, "bad")
        return counted.whole - before[0], counted.trials - before[1]

    async with controlled(gateway, world(old, other, services=services)) as run:
        await serves(gateway, "good.test")
        again = int(gateway.renderer == "dynamic")  # without the profiles that are kept of the last generation
        assert await costs(new, "b") == (2 + again, 1)
        assert await costs(last, "c") == (1, 0)


BAD, FEW = 20, 7


async def test_many_bad_ones_hold_nobody_up(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Twenty at once cost a neighbour's change a few trials, not one each; in the end exactly they are left out."""
    gateway.supervised = counted = Counting(gateway)
    services = {name: backend.port for name, backend in backends.items()}
    bad = [sized(f"bad{number}", f"{number}x") for number in range(BAD)]
    good = [sized(f"good{number}", f"{number + 1}m") for number in range(3)]
    async with controlled(gateway, world(*good, services=services)) as run:
        await serves(gateway, "good0.test")
        before = counted.whole
        run.show(world(*bad, *good, services=services))

        async def refused() -> bool:
            return counted.whole > before

        await eventually(refused)
        later = counted.whole, counted.trials
        changed = sized("good0", "9m", "b")
        changed["metadata"]["uid"] = good[0]["metadata"]["uid"]
        run.show(world(*bad, changed, *good[1:], services=services))
        await serves(gateway, "good0.test", "b")
        whole, trials = counted.whole - later[0], counted.trials - later[1]
        assert whole <= 8, (whole, trials)
        assert trials <= 3 * (FOUND_AT_ONCE + 1), (whole, trials)
        for item in bad:
            await told(run, item["metadata"]["name"])
        assert counted.whole - before <= 12
        assert len(list(gateway.folder.glob("gen-*"))) <= 2, "the files of trials stay"
        for item in good[1:]:
            assert await gateway.backend_of(f"{item['metadata']['name']}.test") == "a"
        assert {reason for name, reason, _ in run.notebook.told if name.startswith("good")} == set()


async def test_who_changes_among_bad_ones_goes_on(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """An Ingress that changes in the same moment as bad ones serves in its old form until its new one does."""
    gateway.supervised = counted = Counting(gateway)
    services = {name: backend.port for name, backend in backends.items()}
    bad = [sized(f"bad{number}", f"{number}x") for number in range(FEW)]
    old, new = sized("good", "2m"), sized("good", "9m", "b")
    new["metadata"]["uid"] = old["metadata"]["uid"]
    async with controlled(gateway, world(old, services=services)) as run:
        await serves(gateway, "good.test")
        before = counted.whole
        run.show(world(*bad, new, sized("fresh", "5m"), services=services))
        seen = set()

        async def changed() -> bool:
            seen.add(await gateway.backend_of("good.test"))
            return "b" in seen

        await eventually(changed)
        assert seen <= {"a", "b"}
        await serves(gateway, "fresh.test")
        for item in bad:
            await told(run, item["metadata"]["name"])
        assert counted.whole - before <= FEW, counted.trials


async def test_bad_ones_from_the_start(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Where nothing is known to be good yet, all are judged by themselves before the first configuration."""
    gateway.supervised = counted = Counting(gateway)
    bad = [sized(f"bad{number}", f"{number}x") for number in range(FEW)]
    async with controlled(gateway, world(*bad, sized("good", "2m"), services={"a": backends["a"].port})) as run:
        await serves(gateway, "good.test")
        assert counted.whole <= FEW // 2 + 1, counted.trials
        for item in bad:
            await told(run, item["metadata"]["name"])


async def test_a_bad_configmap_costs_nobody_else(
    gateway: Gateway, backends: dict[str, Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nginx refuses the gateway's own ConfigMap, the defaults hold, and a change beside it is served."""
    size = dataclasses.replace(config_keys.KEYS["proxy-body-size"], read=str)
    monkeypatch.setattr(config_keys, "KEYS", {**config_keys.KEYS, "proxy-body-size": size})
    services = {name: backend.port for name, backend in backends.items()}
    old, new = sized("good", "2m"), sized("good", "9m", "b")
    new["metadata"]["uid"] = old["metadata"]["uid"]
    async with controlled(gateway, world(old, services=services)) as run:
        await serves(gateway, "good.test")
        run.show(world(new, sized("fresh", "3m"), services=services, config={"proxy-body-size": "soon"}))
        await serves(gateway, "good.test", "b")
        await serves(gateway, "fresh.test")

        async def is_told() -> bool:
            return "InvalidConfig" in run.notebook.reasons("config")

        await eventually(is_told)
        assert {name for name, _, _ in run.notebook.told} == {"config"}


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
