"""The commands diff, history, rollback and detach against a real API server, a real helm and a running engine."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from typing import Any

import pytest
import yaml

from gateway_operator.commands import detach, diff, history, rollback
from gateway_operator.commands.session import Session
from gateway_operator.commands.targets import NoSuchObject
from gateway_operator.errors import ConfigError
from releases_lab import CHARTS, World, conditions, eventually


class Commands:
    """Calls commands as a person would, and reads their answers."""

    def __init__(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        self.world, self._capsys = world, capsys
        self.file = world.folder / "watches.yaml"

    def session(self, output: str = "table") -> Session:
        return Session(self.world.kubeconfig, None, self.world.namespace, output)

    def said(self) -> str:
        return self._capsys.readouterr().out

    async def diff(self, name: str, kind: str = "web", **more: Any) -> tuple[int, str]:
        self.said()
        options = {"file": None, "config": None, "watches_file": self.file, "helm": str(self.world.real_helm), **more}
        code = await diff.run(self.session(), kind, name, **options)
        return code, self.said()

    async def plans(self, name: str, kind: str = "web", **more: Any) -> list[dict[str, Any]]:
        self.said()
        options = {"file": None, "config": None, "watches_file": self.file, "helm": str(self.world.real_helm), **more}
        await diff.run(self.session("json"), kind, name, **options)
        found: list[dict[str, Any]] = json.loads(self.said())["plans"]
        return found

    async def rollback(self, name: str, revision: int | None = None, **more: Any) -> int:
        options = {"resume": False, "wait": True, "timeout": 60.0, **more}
        return await rollback.run(self.session(), "web", name, revision, self.file, **options)


@pytest.fixture
def commands(world: World, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(world, capsys)


async def test_history_shows_every_revision(world, commands):
    """Revision, status, chart, digest, and who ran helm; somebody else's runs are told apart."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"text": "one"})
        await world.ready("Web", "a")
        await world.change("Web", "a", {"text": "two"})
        await eventually(lambda: _at(world, "a", 2))
    await world.helm("upgrade", "a", str(CHARTS / "web"), "--set", "text=three", "--description", "by hand")
    commands.said()
    assert await history.run(commands.session("json"), "Web", "a", commands.file) == 0
    answer = json.loads(commands.said())
    assert answer["release"] == "a"
    assert [(r["revision"], r["status"]) for r in answer["revisions"]] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]
    assert answer["revisions"][2]["description"] == "by hand"
    assert [r["holder"][:5] for r in answer["revisions"]] == ["test-", "test-", ""]
    [plan] = await commands.plans("a")
    assert plan["reasons"] == ["somebody's helm made revision 3", "the values changed"]
    assert {r["chart"] for r in answer["revisions"]} == {"web-0.1.0"}
    assert await history.run(commands.session(), "webs", "a", commands.file) == 0
    lines = commands.said().splitlines()
    assert lines[1].split() == ["REVISION", "STATUS", "CHART", "DIGEST", "UPDATED", "BY", "CAUSE", "DESCRIPTION"]
    assert len(lines) == 5
    assert "test-" in lines[2]


async def _at(world: World, name: str, revision: int, text: str = "") -> bool:
    obj = await world.look("Web", name)
    there = obj.get("status", {}).get("deployedRelease", {}).get("revision") == revision
    return there and (not text or (await world.get("v1", "ConfigMap", name))["data"]["text"] == text)


async def test_rollback_goes_back_holds_and_resumes(world, commands):
    """The release runs the old revision until --resume, and an unknown revision is refused with those there are."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"text": "one"})
        await world.ready("Web", "a")
        await world.change("Web", "a", {"text": "two"})
        await eventually(lambda: _at(world, "a", 2, "two"))
        assert await commands.rollback("a", 1) == 0
        assert (await world.get("v1", "ConfigMap", "a"))["data"]["text"] == "one"
        assert conditions(await world.look("Web", "a"))["Held"]["status"] == "True"
        assert "--resume" in commands.said()
        assert [plan["action"] for plan in await commands.plans("a")] == ["held"]
        with pytest.raises(NoSuchObject, match="has no revision 9 that ran; there are 1, 2, 3"):
            await commands.rollback("a", 9)
        assert await commands.rollback("a", resume=True) == 0

        async def back() -> bool:
            return (await world.get("v1", "ConfigMap", "a"))["data"]["text"] == "two"

        await eventually(back)
        assert await commands.rollback("a", 1, wait=False) == 0
        await eventually(lambda: _text(world, "one"))


async def _text(world: World, text: str) -> bool:
    return (await world.get("v1", "ConfigMap", "a"))["data"]["text"] == text


async def test_diff_says_nothing_to_do_and_then_drift(world, commands):
    """At rest it ends with 0; a field that somebody changed is shown with its pointer, and helm has nothing to do."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"text": "one"})
        await world.ready("Web", "a")
    assert await commands.diff("a") == (0, commands_text := (await commands.diff("a"))[1])
    assert "helm has nothing to do" in commands_text
    await world.patch("v1", "ConfigMap", "a", {"data": {"text": "by hand", "more": "x"}})
    code, text = await commands.diff("a")
    assert code == 1
    assert "/data/text: by hand -> one" in text
    assert "/data/more" in text
    await world.delete("v1", "Service", "a")
    code, text = await commands.diff("a")
    assert f"Service {world.namespace}/a missing" in text
    assert (await world.get("v1", "ConfigMap", "a"))["data"]["text"] == "by hand"
    assert len(await world.records("a")) == 1


async def test_diff_leaves_out_what_ignore_rules_name(world, commands):
    """What the engine lets be is no drift for the command either."""
    rules = [{"paths": ["/data/text"], "target": {"kind": "ConfigMap"}}]
    async with world.engine(world.settings({**world.row("Web"), "ignoreRules": rules})):
        await world.custom("Web", "a", {"text": "one"})
        await world.ready("Web", "a")
    await world.patch("v1", "ConfigMap", "a", {"data": {"text": "by hand"}})
    assert (await commands.diff("a"))[0] == 0


async def test_diff_of_a_file_shows_ports_first_and_no_secret(world, commands, tmp_path):
    """What a changed object would do: ports and addresses, then values and manifest; passwords are ***."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a", {"text": "one", "type": "NodePort", "password": "hunter2"})
        await world.ready("Web", "a")
    port = (await world.get("v1", "Service", "a"))["spec"]["ports"][0]["nodePort"]
    changed = {
        "apiVersion": world.api_version,
        "kind": "Web",
        "metadata": {"name": "a", "namespace": world.namespace},
        "spec": {"text": "two", "port": 81, "type": "ClusterIP", "password": "geheim"},
    }
    file = tmp_path / "changed.yaml"
    file.write_text(yaml.safe_dump(changed))
    code, text = await commands.diff("a", file=file)
    assert code == 1
    assert "hunter2" not in text
    assert "geheim" not in text
    assert "/password: *** -> ***" in text
    assert text.index("Ports and addresses") < text.index("Values") < text.index("Manifest")
    [plan] = await commands.plans("a", file=file)
    moves = {(m["what"], m["old"], m["new"]) for m in plan["ports"]}
    assert ("type", "NodePort", "ClusterIP") in moves
    assert ("port http", "80/TCP", "81/TCP") in moves
    assert ("port http nodePort", str(port), "") in moves
    assert not any(what == "clusterIP" for what, _, _ in moves)
    assert plan["reasons"] == ["the values changed"]
    assert (await world.look("Web", "a"))["spec"]["text"] == "one"


async def test_diff_names_the_reason(world, commands, tmp_path):
    """No release yet, other chart, other overrides, a stranger's release, values that the chart refuses."""
    world.settings(world.row("Web"))
    await world.custom("Web", "a", {"text": "one"})
    [plan] = await commands.plans("a")
    assert (plan["action"], plan["reasons"]) == ("install", ["there is no release yet"])
    assert {d["what"] for d in plan["objects"]} == {"created"}
    async with world.engine(world.settings(world.row("Web"))):
        await world.ready("Web", "a")
    world.settings(world.row("Web", overrideValues={"text": "forced"}))
    [plan] = await commands.plans("a")
    assert plan["reasons"] == ["the values changed (watches.yaml sets text)"]
    assert plan["remarks"] == ['watches.yaml sets text to "forced"; what this object says there is not used']
    newer = tmp_path / "web"
    subprocess.run(["cp", "-r", str(CHARTS / "web"), str(newer)], check=True)
    meta = yaml.safe_load((newer / "Chart.yaml").read_text())
    (newer / "Chart.yaml").write_text(yaml.safe_dump({**meta, "version": "0.2.0"}))
    world.settings({**world.row("Web"), "chart": str(newer)})
    [plan] = await commands.plans("a")
    assert plan["reasons"] == ["the chart changed: web-0.1.0 -> web-0.2.0"]
    await world.change("Web", "a", {"text": 7})
    [plan] = await commands.plans("a")
    assert "ValuesRefused" in plan["problem"]
    await world.helm("install", "b", str(CHARTS / "web"))
    await world.custom("Web", "b")
    [plan] = await commands.plans("b")
    assert "somebody else's helm" in plan["reasons"][0]
    await world.define("Other")
    await world.custom("Other", "a")
    world.settings(world.row("Other"))
    [plan] = await commands.plans("a", "other")
    assert (plan["action"], plan["reasons"]) == ("refused", [])
    assert "there is a Helm release a in" in plan["problem"]
    assert "uninstall it, or give this object another name" in plan["problem"]


async def test_diff_follows_a_release_to_the_objects_that_it_makes(world, commands):
    """A changed parent changes its child, whose own release is shown with the changed values."""
    await world.define("Parent")
    await world.define("Child")
    rows = [world.row("Parent", "parent"), world.row("Child", "web")]
    spec = {"childApiVersion": world.api_version, "child": {"text": "one"}}
    async with world.engine(world.settings(*rows)):
        await world.custom("Parent", "p", spec)
        await world.ready("Child", "p-child")
        await world.ready("Parent", "p")
    assert [plan["action"] for plan in await commands.plans("p", "parent")] == ["nothing", "nothing"]
    await world.change("Parent", "p", {"child": {"text": "two", "port": 8080}})
    first, second = await commands.plans("p", "parent")
    assert first["objects"][0]["object"] == f"Child {world.namespace}/p-child"
    assert second["object"] == f"Child {world.namespace}/p-child"
    assert {(c["pointer"], c["new"]) for c in second["values"]} == {("/text", "two"), ("/port", 8080)}
    assert ("port http", "80/TCP", "8080/TCP") in {(m["what"], m["old"], m["new"]) for m in second["ports"]}


async def test_detach_takes_finalizers_off_and_leaves_releases(world, commands):
    """The object can be deleted without an operator, and what runs stays."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
    assert await detach.run(commands.session(), commands.file, dry_run=True) == 0
    assert (await world.look("Web", "a"))["metadata"]["finalizers"]
    commands.said()
    assert await detach.run(commands.session("json"), commands.file, dry_run=False) == 0
    assert json.loads(commands.said())["objects"] == [
        {"kind": "Web", "namespace": world.namespace, "name": "a", "deleted": False}
    ]
    assert "finalizers" not in (await world.look("Web", "a"))["metadata"]
    await world.delete(world.api_version, "Web", "a")
    assert await world.gone(world.api_version, "Web", "a")
    assert len(await world.records("a")) == 1


async def test_detach_without_a_crd_of_one_row_still_serves_the_others(world, commands):
    """A dry run as much as the real one."""
    async with world.engine(world.settings(world.row("Web"))):
        await world.custom("Web", "a")
        await world.ready("Web", "a")
    world.settings(world.row("Nowhere"), world.row("Web"))
    for dry_run in (True, False):
        commands.said()
        assert await detach.run(commands.session("json"), commands.file, dry_run=dry_run) == 0
        assert [one["name"] for one in json.loads(commands.said())["objects"]] == ["a"]


async def test_secrets_of_a_chart_are_never_shown(world, commands, tmp_path):
    """A changed Secret is told as changed, without its data."""
    chart = tmp_path / "vault"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: vault, version: 0.1.0}")
    secret = (
        "{apiVersion: v1, kind: Secret, metadata: {name: {{ .Release.Name }}}, data: {a: {{ .Values.a | b64enc }}}}"
    )
    (chart / "templates" / "secret.yaml").write_text(secret)
    async with world.engine(world.settings({**world.row("Web"), "chart": str(chart)})):
        await world.custom("Web", "a", {"a": "quiet"})
        await world.ready("Web", "a")
    await world.change("Web", "a", {"a": "quieter"})
    code, text = await commands.diff("a")
    assert code == 1
    assert "/data/a: *** -> ***" in text
    assert base64.b64encode(b"quieter").decode() not in text


async def test_words_for_kinds_and_what_is_missing(world, commands):
    """An unknown kind, object or file is told with what to do."""
    world.settings(world.row("Web"))
    with pytest.raises(NoSuchObject, match="no row of watches.yaml is about 'nothing'; there are Web"):
        await history.run(commands.session(), "nothing", "a", commands.file)
    with pytest.raises(NoSuchObject, match="there is no Web a"):
        await history.run(commands.session(), f"web.{world.group}", "a", commands.file)
    await world.custom("Web", "a")
    with pytest.raises(NoSuchObject, match="has no release a yet"):
        await history.run(commands.session(), "web", "a", commands.file)
    with pytest.raises(ConfigError, match="absent"):
        await history.run(commands.session(), "web", "a", world.folder / "absent.yaml")


async def test_the_program_ends_with_its_codes(world):
    """0, 1 for something found or missing, 2 for wrong use; --help says what a command does."""
    world.settings(world.row("Web"))
    await world.custom("Web", "a")
    watches = ["--watches-file", str(world.folder / "watches.yaml")]
    where = ["--kubeconfig", str(world.kubeconfig), "-n", world.namespace, *watches]

    async def code(*args: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway_operator", *args),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "200"},
        )
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    answers = await asyncio.gather(
        code("diff", "web", "a", *where, "--helm", str(world.real_helm)),
        code("history", "web", "a", *where),
        code("rollback", "web", "a", *where),
        code("detach", "--dry-run", *where),
        code("history", "web", "a", *where, "-o", "xml"),
        code("doctor", "--help"),
    )
    assert [status for status, _ in answers] == [1, 1, 2, 0, 2, 0], answers
    assert "has no release a yet" in answers[1][1]
    assert "Traceback" not in "".join(text for _, text in answers)
    assert "Name what is wrong" in answers[5][1]
