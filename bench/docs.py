"""Writes docs/performance.md from the results, so that no figure in the docs was typed by anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.results import FOLDER, missed
from bench.table import table
from lab.paths import CHECKOUT

TARGET = CHECKOUT / "docs" / "performance.md"
_HEAD = """# Performance

Written by `python -m bench docs` from `bench/results/*.json`; `make bench PEERS=folder` measures anew. Peers lie in
`folder` (a clone in `operator-sdk`, a root file system with ingress-nginx in `ingress-root`) and run on the same
machine in the same run as ours. Compare ratios: the absolute figures belong to one machine. "never"
means not within the time that was given (70 s for drift); "mark" is the figure that ours has to reach.
"""
_ABOUT = {
    "engine": """## The release engine

One small chart (Deployment with no replicas, Service, ServiceAccount, ConfigMap, ClusterRole), one custom resource for
each release, one `watches.yaml` for both operators, all else at its default. Memory and processor time include helm
processes. The peer runs Helm in its own process and asks the API server in every period; ours starts a helm when inputs
change, and watches otherwise. API server, etcd and controllers are real and share the processors with them; each
operator has an API server of its own.
""",
    "dataplane": """## The data plane

One nginx, one worker, one machine and one API server for all: the gateway as it runs in a pod (controller and
supervised nginx), an nginx.conf that a person would write for the same routes, headers and log lines, and
ingress-nginx's own controller in a Debian root. Throughput is measured in duets: the hand-written file and one gateway
share one processor under the same load at the same time, so that whatever the machine does to one it does to the other;
the rest is frozen, load and backend have the other processor, access logs lie in memory. A ratio is the median of nine
duets, peers have three; one in which the host took more than 5 % of the processors' time is played again, up to three
times. Every Ingress has three paths and a Service of its own with three pods, for whose addresses one nginx
answers. ingress-nginx's figures stand beside our dynamic renderer's, with metrics on, as it is run; in the static
renderer every change is a reload.
""",
    "multicluster": """## Policies over several clusters

Operator, gateway and API servers are real; members have no nodes, and one nginx answers for all pods, on an address for
each. A change's clock starts when it is sent to the member's API server and stops at the new pod's first request; a cut
drops every packet to a member's pods and tells nobody. A start's clock starts with the process. All figures are whole
ways, with the operator and the API servers on the same processors as the gateway and its load.
""",
    "soak": "## A long soak of the release engine\n",
}


def write(folder: Path = FOLDER, target: Path = TARGET) -> list[str]:
    """Write the page; returns what missed its mark."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    target.write_text("\n".join([_HEAD, *map(section, found)]), encoding="utf-8")
    return [what for result in found for what in missed(result["rows"])]


def section(result: dict[str, Any]) -> str:
    """Return one benchmark's part of the page."""
    about = _ABOUT.get(result["name"], f"## {result['name']}\n")
    peers = sorted({r["peer_name"] for r in result["rows"] if r["peer_name"]})
    beside = f"; peer: {', '.join(peers)}" if peers else "; no peer was given"
    return f"{about}\nMeasured {_runs(result)}{beside}.\n\n{table(result['rows'])}\n"


def _runs(result: dict[str, Any]) -> str:
    """Say when, at which commit and where: for each part, where they were measured in several runs."""
    runs: dict[str, list[str]] = {}
    for name, part in (result["parts"] or {"": result}).items():
        said = f"{part['date'][:10]} at {part['commit']} on {part['machine']}"
        runs.setdefault(said, []).append(name)
    if len(runs) == 1:
        return next(iter(runs))
    return ";\n".join(f"{said} ({', '.join(parts)})" for said, parts in runs.items())
