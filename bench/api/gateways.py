"""Lists of gateways from the cache, and streams whose clients leave: a whole API process beside a real API server.

The list is asked over TLS with a token, as a console does. Streams are dropped without a word; afterwards the process
has as many sockets as before and no stream left.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from bench.results import Part, row
from bench.stats import percentile
from gateway_operator.crds.manifests import all_yaml
from lab.apiserver import ApiCluster
from lab.control import free_ports
from lab.pki import Authority

GATEWAYS = 200
FOLLOWERS = 500
LIST_MS = 15.0
LEAVE_SECONDS = 1.0
WORKING = "kubesphere-controls-system"
PATH = "/kapis/gateway.kubesphere.io/v1alpha1/gateways"
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


async def _measured(cluster: ApiCluster, folder: Path, *, rounds: int, many: int) -> Part:
    async with _api(cluster, folder) as (pid, session):
        for _ in range(20):
            await _list(session)
        begun, times = _cpu(pid), []
        for _ in range(rounds):
            start = time.perf_counter()
            await _list(session)
            times.append((time.perf_counter() - start) * 1000)
        cpu = (_cpu(pid) - begun) / rounds * 1000
        before = _sockets(pid)
        streams = await asyncio.gather(*(session.get(PATH, params={"watch": "true"}) for _ in range(many)))
        await asyncio.gather(*(stream.content.readline() for stream in streams))
        for stream in streams:
            stream.close()
        gone = await _until_gone(pid, before)
    rows = (
        row(f"list {GATEWAYS} gateways, p95", "ms", percentile(times, 0.95), mark=LIST_MS),
        row(f"list {GATEWAYS} gateways, processor time", "ms", cpu),
        row(f"{many} event streams dropped: until no connection is left", "s", gone, mark=LEAVE_SECONDS),
    )
    return Part(rows, {"rounds": rounds})


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


async def _until_gone(pid: int, before: int) -> float:
    """Return the seconds until the process has no more sockets than before."""
    start = time.perf_counter()
    while _sockets(pid) > before:
        if time.perf_counter() - start > 60:  # noqa: PLR2004
            return float("inf")
        await asyncio.sleep(0.02)
    return time.perf_counter() - start


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
