"""The operator as a process: how it starts, what it answers, how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lab.apiserver import ApiCluster
from operator_process import operator
from releases_lab import World, eventually

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = re.findall(r"^\| `([a-z_]+)", (ROOT / "docs" / "spec" / "metrics.md").read_text(), re.MULTILINE)


def test_without_watches_path_the_engine_is_off_and_the_rest_runs(api_cluster: ApiCluster, namespace: str) -> None:
    """The operator leads, is ready and says that the release engine is off."""
    with operator(api_cluster, namespace) as running:
        running.wait(lambda: '"leader": true' in running.get("/readyz")[1])
        status, body = running.get("/readyz")
        assert status == 200
        assert json.loads(body)["releaseEngine"] is False
        assert running.get("/healthz") == (200, "ok")
        assert "process_resident_memory_bytes" in running.get("/metrics", metrics=True)[1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--watches-path", "/absent/watches.yaml"], "/absent/watches.yaml"),
        (["--config", "/absent/config.yaml"], "/absent/config.yaml"),
        (["--log-level", "loud"], "logLevel"),
    ],
)
def test_wrong_settings_end_the_start_with_one_line(
    api_cluster: ApiCluster, namespace: str, flags: list[str], said: str
) -> None:
    """The process ends with status 2 and a line that names what is wrong."""
    with operator(api_cluster, namespace, *flags) as running:
        assert running.process.wait(120) == 2
        assert said in running.log
        assert "Traceback" not in running.log


def test_an_api_server_that_is_away_is_waited_for(api_cluster: ApiCluster, namespace: str) -> None:
    """The operator doesn't end; it goes on trying to get its lease, and is no leader."""
    api_cluster.kill_apiserver()
    with operator(api_cluster, namespace) as running:
        try:
            running.wait(lambda: running.get("/healthz")[0] == 200)
            assert '"leader": false' in running.get("/readyz")[1]
        finally:
            api_cluster.start_apiserver()
        running.wait(lambda: '"leader": true' in running.get("/readyz")[1])


def test_endpoints_can_be_off_and_a_wrong_flag_is_named(api_cluster: ApiCluster, namespace: str) -> None:
    """An empty address serves nothing; what can't be read ends the start with a line."""
    with operator(api_cluster, namespace, "--metrics-bind-address", "") as running:
        running.wait(lambda: running.leads)
        assert running.get("/metrics", metrics=True) == (0, "")
    with operator(api_cluster, namespace, "--reconcile-period", "soon") as running:
        assert running.process.wait(120) == 2
        assert "--reconcile-period" in running.log


async def test_flags_of_other_helm_operators(world: World, api_cluster: ApiCluster) -> None:
    """Their flags and WATCH_NAMESPACE work from any directory, with a relative watches.yaml; /readyz says how it is."""
    world.settings(world.row("Web"))
    flags = ("--watches-file", "watches.yaml", "--no-leader-elect", "--reconcile-period", "1m")
    with operator(api_cluster, world.namespace, *flags, helm=world.shim, cwd=world.folder) as running:
        await world.custom("Web", "a")
        await world.ready("Web", "a")
        report = running.report()
        row = report["rows"][f"Web.{world.group}"]
        assert (row["serving"], row["objects"], row["chart"]) == (True, 1, "web-0.1.0")
        assert row["lastContactSeconds"] < 130
        assert report["helm"]
        assert "lease" not in report
        assert running.get("/healthz") == (200, "ok")
        text = running.get("/metrics", metrics=True)[1]
        labels = f'group="{world.group}",kind="Web",name="a",namespace="{world.namespace}",version="v1"'
        assert f"resource_created_at_seconds{{{labels}}}" in text
        for name in DOCUMENTED:
            assert name in text, name
        await world.delete(world.api_version, "Web", "a")
        await eventually(lambda: world.gone(world.api_version, "Web", "a"))
        running.wait(lambda: labels not in running.get("/metrics", metrics=True)[1])
        assert re.search(r"trigger='?added", running.log)  # perhaps among others
