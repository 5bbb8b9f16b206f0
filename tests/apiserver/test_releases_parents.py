"""A release that makes a custom resource goes before that resource's own release."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from releases_lab import CHARTS, World, eventually


def _charts(folder: Path) -> dict[str, Path]:
    made = {name: folder / name for name in ("parent", "web")}
    for name, path in made.items():
        shutil.copytree(CHARTS / name, path)
    return made


def _rows(world: World, charts: dict[str, Path]) -> list[dict[str, Any]]:
    return [
        {**world.row("Child", "web"), "chart": str(charts["web"])},
        {**world.row("Parent", "parent"), "chart": str(charts["parent"])},
    ]


async def test_new_charts_of_both_are_one_upgrade_of_each(world: World, tmp_path: Path) -> None:
    """After an operator upgrade the child waits for its new values, which its old chart would even refuse."""
    await world.define("Parent")
    await world.define("Child")
    charts = _charts(tmp_path)
    spec = {"childApiVersion": world.api_version, "child": {"text": "one"}}
    async with world.engine(world.settings(*_rows(world, charts))):
        await world.custom("Parent", "p", spec)
        await world.ready("Child", "p-child")
        await world.ready("Parent", "p")
    template = charts["parent"] / "templates" / "child.yaml"
    text = template.read_text().replace("toJson .Values.child", 'toJson (merge (dict "port" 8081) .Values.child)')
    template.write_text(text)
    values = charts["web"] / "values.yaml"
    values.write_text(yaml.safe_dump({**yaml.safe_load(values.read_text()), "port": 82}))
    async with world.engine(world.settings(*_rows(world, charts))):

        async def done() -> bool:
            return bool((await world.get("v1", "Service", "p-child"))["spec"]["ports"][0]["port"] == 8081)

        await eventually(done)
        await world.ready("Parent", "p")
        await world.ready("Child", "p-child")
    for release in ("p", "p-child"):
        assert [r["metadata"]["labels"]["version"] for r in await world.records(release)] == ["1", "2"], release


async def test_a_parent_that_fails_holds_nobody_back(world: World) -> None:
    """Its child is upgraded although the parent's own values are refused."""
    await world.define("Parent")
    await world.define("Child")
    rows = [world.row("Parent", "parent"), world.row("Child", "web")]
    spec = {"childApiVersion": world.api_version, "child": {"text": "one"}}
    async with world.engine(world.settings(*rows)):
        await world.custom("Parent", "p", spec)
        await world.ready("Child", "p-child")
    await world.change("Parent", "p", {"childApiVersion": None})
    rows[1]["overrideValues"] = {"text": "two"}
    async with world.engine(world.settings(*rows)):
        await world.condition("Parent", "p", "ReleaseFailed", "True", "UpgradeError")

        async def upgraded() -> bool:
            obj = await world.ready("Child", "p-child")  # it may still be the Ready of before
            return bool(obj["status"]["deployedRelease"]["revision"] == 2)

        await eventually(upgraded)
