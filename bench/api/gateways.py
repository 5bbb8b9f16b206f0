"""Lists of gateways from the cache, and streams whose clients leave: a whole API process beside a real API server.

The list is asked over TLS with a token, as a console does. Followers of logs and of events are dropped without a word;
afterwards the process has as many sockets as before and no stream left, and the kubelet serves no log any more. The
kubelet is a stand-in (`lab.servers.kubelet`): this lab runs no pods, and real ones would add containerd to it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bench.results import Part, row
from bench.stats import percentile
from gateway_operator.crds.manifests import all_yaml
from lab.apiserver import ApiCluster
from lab.control import free_ports
from lab.pki import Authority
from lab.servers.kubelet import StandInKubelet

GATEWAYS = 200
FOLLOWERS = 500
LIST_MS = 15.0
LEAVE_SECONDS = 1.0
WORKING = "kubesphere-controls-system"
KIND = "gateways.gateway.kubesphere.io"
PREFIX = "/kapis/gateway.kubesphere.io/v1alpha1"
PATH, POD = f"{PREFIX}/gateways", "followed"
LOG = f"{PREFIX}/namespaces/p0/gateways/kubesphere-router-p0/pods/{POD}/log?follow=true"
EVENTS = f"{PATH}?watch=true"
LONGEST_SECONDS = 60
_TICKS = os.sysconf("SC_CLK_TCK")


def measure(*, quick: bool = False, seed: int = 1) -> Part:
    """Measure; `quick` shows that it works."""
    del seed
    with tempfile.TemporaryDirectory(prefix="bench-api-") as name:
        folder = Path(name)
        cluster = ApiCluster.start(folder)
        try:
            _fill(cluster)
            return asyncio.run(_measured(cluster, folder, rounds=50 if quick else 500, many=50 if quick else FOLLOWERS))
        finally:
            cluster.stop()


def _fill(cluster: ApiCluster) -> None:
    """Make the Gateways, with a status as the operator writes it."""
    cluster.kubectl("apply", "--server-side", "-f", "-", input=all_yaml())
    cluster.kubectl("wait", "--for=condition=Established", "crd/gateways.gateway.kubesphere.io", "--timeout=60s")
    cluster.kubectl("create", "namespace", WORKING)
    items = [
        {
            "apiVersion": "gateway.kubesphere.io/v1alpha1",
            "kind": "Gateway",
            "metadata": {"name": f"kubesphere-router-p{number}", "namespace": WORKING},
            "spec": {
                "controller": {
                    "scope": {"enabled": True, "namespace": f"p{number}"},
                    "config": {"proxy-body-size": "8m", "worker-processes": "4", "use-gzip": "true"},
                },
                "service": {"type": "NodePort", "annotations": {"example.com/team": "a-team"}},
                "deployment": {"replicas": 2, "resources": {"requests": {"cpu": "100m", "memory": "90Mi"}}},
            },
        }
        for number in range(GATEWAYS)
    ]
    cluster.kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    made = json.loads(cluster.kubectl("get", KIND, "-n", WORKING, "-o", "json"))
    for number, one in enumerate(made["items"]):
        one["status"] = _status(one["metadata"]["name"], number)
    cluster.kubectl("replace", "--subresource=status", "-f", "-", input=json.dumps(made))


def _status(name: str, number: int) -> dict[str, Any]:
    kinds = ("Initialized", "Deployed", "Accepted", "Ready", "AddressAssigned")
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": "AsWanted",
            "message": "everything is as it was asked for",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": 1,
        }
        for kind in kinds
    ]
    return {
        "conditions": conditions,
        "observedGeneration": 1,
        "addresses": [f"10.0.0.{number}"],
        "ports": [{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}],
        "replicas": 2,
        "readyReplicas": 2,
        "selector": f"app={POD}" if name.endswith("-p0") else f"app={name}",
    }


async def _measured(cluster: ApiCluster, folder: Path, *, rounds: int, many: int) -> Part:
    kubelet = StandInKubelet(cluster, "stand-in")
    async with kubelet.serving(), _api(cluster, folder) as (pid, session):
        await kubelet.pod(WORKING, POD, {"app": POD})
        for _ in range(20):
            await _list(session)
        begun, times = _cpu(pid), []
        for _ in range(rounds):
            start = time.perf_counter()
            await _list(session)
            times.append((time.perf_counter() - start) * 1000)
        cpu = (_cpu(pid) - begun) / rounds * 1000
        leaving = [(await _dropped(pid, session, LOG, 1, kubelet))[1] for _ in range(20)]
        logs = await _dropped(pid, session, LOG, many, kubelet)
        events = await _dropped(pid, session, EVENTS, many, kubelet)
    rows = (
        row(f"list {GATEWAYS} gateways, p95", "ms", percentile(times, 0.95), mark=LIST_MS),
        row(f"list {GATEWAYS} gateways, processor time", "ms", cpu),
        row(
            "one log follower dropped: until nothing of it is left, p95",
            "s",
            percentile(leaving, 0.95),
            mark=LEAVE_SECONDS,
        ),
        row(f"{many} log followers dropped: streams and connections left", "", logs[0], mark=0),
        row(f"{many} log followers dropped: until nothing of them is left", "s", logs[1]),
        row(f"{many} event streams dropped: streams and connections left", "", events[0], mark=0),
        row(f"{many} event streams dropped: until nothing of them is left", "s", events[1]),
    )
    return Part(rows, {"rounds": rounds})


async def _dropped(
    pid: int, session: aiohttp.ClientSession, path: str, many: int, kubelet: StandInKubelet
) -> tuple[int, float]:
    """Open many streams, leave them all; returns what of them is left after a minute, or until when all was gone."""
    await _list(session)  # so that the connection of a question counts before and after
    before = _sockets(pid)
    streams = await asyncio.gather(*(session.get(path) for _ in range(many)))
    if not all(await asyncio.gather(*(stream.content.readline() for stream in streams))):
        raise RuntimeError(f"some streams of {path} gave nothing")
    start = time.perf_counter()
    for stream in streams:
        stream.close()
    while (left := max(_sockets(pid) - before, 0) + kubelet.followed) and time.perf_counter() < start + LONGEST_SECONDS:  # noqa: ASYNC110 - another process's sockets tell nobody
        await asyncio.sleep(0.02)
    gone = time.perf_counter() - start
    async with session.get("/metrics") as answer:
        (open_,) = re.findall(rb"^gateway_api_streams (\S+)", await answer.read(), re.MULTILINE)
    return left + int(float(open_)), gone


async def _list(session: aiohttp.ClientSession) -> None:
    async with session.get(PATH) as answer:
        if answer.status != 200 or b'"totalItems":200' not in await answer.read():  # noqa: PLR2004
            raise RuntimeError(f"the list failed with {answer.status}")


@asynccontextmanager
async def _api(cluster: ApiCluster, folder: Path) -> AsyncIterator[tuple[int, aiohttp.ClientSession]]:
    """Run the API as a process; gives its pid and a session of an administrator."""
    (port,) = free_ports(1)
    authority = Authority(folder / "tls", "bench")
    pair = authority.issue("api", "api", hosts=["127.0.0.1"])
    limits = {"requestsPerSecond": 100_000, "burst": 100_000, "streamsPerSubject": 10_000}
    config = folder / "api.yaml"
    config.write_text(json.dumps({"api": {"limits": limits}, "logLevel": "warning"}))
    flags = {
        "--config": config,
        "--kubeconfig": cluster.kubeconfig,
        "--listen": f"127.0.0.1:{port}",
        "--tls-cert-file": pair.cert,
        "--tls-key-file": pair.key,
        "--metrics-bind-address": "",
        "--health-probe-bind-address": "",
    }
    command = [sys.executable, "-m", "gateway_operator", "api", *(str(x) for pair in flags.items() for x in pair)]
    cluster.kubectl("create", "serviceaccount", "boss", "-n", "default")
    cluster.kubectl(
        "create", "clusterrolebinding", "boss", "--clusterrole=cluster-admin", "--serviceaccount=default:boss"
    )
    token = cluster.kubectl("create", "token", "boss", "-n", "default").strip()
    context = ssl.create_default_context(cafile=str(authority.pair.cert))
    process = await asyncio.create_subprocess_exec(*command)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    headers = {"Authorization": f"Bearer {token}"}
    url = f"https://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession(url, headers=headers, connector=connector) as session:
            await _ready(session)
            yield process.pid, session
    finally:
        process.terminate()
        async with asyncio.timeout(20):
            await process.wait()


async def _ready(session: aiohttp.ClientSession) -> None:
    for _ in range(300):
        try:
            async with session.get("/readyz") as answer:
                if answer.ok:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.2)
    raise RuntimeError("the API isn't ready after a minute")


def _sockets(pid: int) -> int:
    count = 0
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += str(handle.readlink()).startswith("socket:")
        except OSError:
            continue
    return count


def _cpu(pid: int) -> float:
    """Return the processor time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
