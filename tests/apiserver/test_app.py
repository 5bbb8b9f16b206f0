"""The operator as a process: how it starts, what it answers, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.apiserver import ApiCluster

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Operator:
    """A running operator and its ports."""

    def __init__(self, process: subprocess.Popen[str], health: int, metrics: int) -> None:
        self.process, self.health, self.metrics = process, health, metrics

    def get(self, path: str, *, metrics: bool = False) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.metrics if metrics else self.health}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait(self, holds, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert self.process.poll() is None, "the operator ended"
            assert time.monotonic() < end, self.get("/readyz")
            time.sleep(0.1)


@contextmanager
def operator(cluster: ApiCluster, namespace: str, *flags: str, helm: Path | None = None) -> Iterator[Operator]:
    """Run `gateway-operator run` with its lease in `namespace`."""
    health, metrics = free_port(), free_port()
    env = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "POD_NAMESPACE": namespace,
        "GATEWAY_OPERATOR_HEALTH_PORT": str(health),
        "GATEWAY_OPERATOR_METRICS_PORT": str(metrics),
    }
    if helm:
        env["GATEWAY_OPERATOR_HELM"] = str(helm)
    command = [sys.executable, "-m", "gateway_operator", "run", *flags]
    process = subprocess.Popen(command, env=env, text=True, stderr=subprocess.PIPE)
    try:
        yield Operator(process, health, metrics)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_without_watches_path_the_engine_is_off_and_the_rest_runs(api_cluster: ApiCluster, namespace: str) -> None:
    """The operator leads, is ready and says that the release engine is off."""
    with operator(api_cluster, namespace) as running:
        running.wait(lambda: '"leader": true' in running.get("/readyz")[1])
        status, body = running.get("/readyz")
        assert status == 200
        assert json.loads(body)["releaseEngine"] is False
        assert running.get("/healthz") == (200, "ok")
        assert "process_resident_memory_bytes" in running.get("/metrics", metrics=True)[1]


def test_second_replica_waits_and_takes_over_on_term(api_cluster: ApiCluster, namespace: str) -> None:
    """One of two leads; after SIGTERM of the leader the other leads within three seconds."""
    with operator(api_cluster, namespace) as first:
        first.wait(lambda: '"leader": true' in first.get("/readyz")[1])
        with operator(api_cluster, namespace) as second:
            second.wait(lambda: second.get("/readyz")[0] == 200)
            assert '"leader": false' in second.get("/readyz")[1]
            first.process.send_signal(signal.SIGTERM)
            assert first.process.wait(10) == 0
            started = time.monotonic()
            second.wait(lambda: '"leader": true' in second.get("/readyz")[1])
            assert time.monotonic() - started < 5


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
        _, error = running.process.communicate(timeout=30)
        assert running.process.returncode == 2
        assert said in error
        assert "Traceback" not in error


def test_an_api_server_that_is_away_is_waited_for(api_cluster: ApiCluster, tmp_path: Path, namespace: str) -> None:
    """The operator doesn't end; it goes on trying to get its lease, and is no leader."""
    cluster = ApiCluster.start(tmp_path)
    try:
        cluster.kill_apiserver()
        with operator(cluster, "default") as running:
            running.wait(lambda: running.get("/healthz")[0] == 200)
            assert '"leader": false' in running.get("/readyz")[1]
            cluster.start_apiserver()
            running.wait(lambda: '"leader": true' in running.get("/readyz")[1], 40)
    finally:
        cluster.stop()
