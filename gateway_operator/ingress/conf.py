"""`gateway-operator conf`: what nginx of this pod has now, and which objects are behind it.

It reads the folder that controller and nginx share and asks the data socket; it needs neither a token nor the API.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway_operator.errors import ConfigError
from gateway_operator.ingress.data_socket import DataError, DataSocket
from gateway_operator.ingress.delivery import SNAPSHOT, SOCKET
from gateway_operator.ingress.generations import Generations
from gateway_operator.ingress.notes import INDEX, QUARANTINE
from gateway_operator.ingress.records import snapshot_keys, snapshot_version


def describe(run_dir: Path) -> dict[str, Any]:
    """Return the running generation with its files and sizes, and a summary of the data."""
    generations = Generations(run_dir)
    current = generations.target("current")
    if current is None:
        raise ConfigError(f"{run_dir} has no configuration of nginx; --run-dir names the folder of a gateway pod")
    folder = run_dir / current
    files = {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        "generation": current,
        "lastGood": generations.target("last-good"),
        "files": files,
        "data": _data(run_dir),
    }


def _data(run_dir: Path) -> dict[str, Any]:
    kinds = Counter(key.partition(":")[0] for key in snapshot_keys(run_dir / SNAPSHOT))
    found: dict[str, Any] = {"snapshotVersion": snapshot_version(run_dir / SNAPSHOT), "snapshotKeys": dict(kinds)}
    try:
        status = asyncio.run(DataSocket(run_dir / SOCKET).status())
    except DataError:
        return found
    live = {"version": status.version, "digest": status.digest, "keys": status.keys}
    return {**live, "freeBytes": status.free, "capacityBytes": status.capacity, **found}


def blame(run_dir: Path) -> dict[str, Any]:
    """Return who is behind each hash, by kind, and which Ingresses are left out."""
    index: Mapping[str, Mapping[str, Any]] = _read(run_dir / INDEX, {})
    quarantined = _read(run_dir / QUARANTINE, [])
    servers = {key: item for key, item in index.items() if "host" in item}
    named = [_name(index.get(owner, {})) for item in servers.values() for owner in item.get("ingresses", ())]
    return {
        "servers": {
            key: {"host": item["host"], "ingresses": [_name(index.get(owner, {})) for owner in item["ingresses"]]}
            for key, item in sorted(servers.items(), key=lambda pair: pair[1]["host"])
        },
        "backends": {
            key: f"{item['namespace']}/{item['service']}:{item['port']}"
            for key, item in sorted(index.items())
            if "service" in item
        },
        "ingresses": {key: _name(item) for key, item in sorted(index.items()) if "ingress" in item},
        "quarantined": quarantined,
        "counts": {"servers": len(servers), "ingresses": len(set(named)), "quarantined": len(quarantined)},
    }


def _name(item: Mapping[str, Any]) -> str:
    return f"{item['namespace']}/{item['ingress']}" if "ingress" in item else "?"


def _read(path: Path, otherwise: Any) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return otherwise


def lines_of(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a description for people."""
    yield f"generation  {found['generation']} (last good: {found['lastGood']})"
    data = found["data"]
    if "version" in data:
        size, free = data["capacityBytes"] >> 20, data["freeBytes"] >> 20
        yield f"data        version {data['version']}, {data['keys']} keys, {free} of {size} MiB never used"
    kinds = ", ".join(f"{count} {kind}:" for kind, count in sorted(data["snapshotKeys"].items()))
    yield f"snapshot    version {data['snapshotVersion']} ({kinds or 'none'})"
    yield from (f"{size:>9}  {name}" for name, size in found["files"].items())


def blame_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield for people who is behind what."""
    for key, item in found["servers"].items():
        yield f"{key}  {item['host'] or '(all other hosts)'}  {', '.join(item['ingresses']) or '-'}"
    for key, name in found["backends"].items():
        yield f"{key}  backend {name}"
    for item in found["quarantined"]:
        yield f"quarantined  {item['namespace']}/{item['ingress']}  {item['message']}"
    if not found["quarantined"]:
        yield "nothing is quarantined"
