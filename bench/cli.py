"""The command line: which benchmark, which parts of it, beside which peers."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bench import docs as page
from bench.api import ORDER as API_ORDER
from bench.api import run as api_run
from bench.dataplane import ORDER as DATAPLANE_ORDER
from bench.dataplane import run as dataplane_run
from bench.dataplane.gateways import RENDERERS
from bench.dataplane.setup import Peer
from bench.engine import ORDER
from bench.engine import run as engine_run
from bench.multicluster import ORDER as MULTICLUSTER_ORDER
from bench.multicluster import run as multicluster_run
from bench.peers import ingress_nginx, traefik
from bench.results import FOLDER, Results, missed
from bench.table import table
from lab.errors import LabError

app = typer.Typer(invoke_without_command=True, help=(sys.modules["bench"].__doc__ or "").split("\n", 1)[0])

PeerSource = Annotated[
    Path | None, typer.Option("--peer-helm-operator", help="clone of operator-sdk, or a built helm-operator")
]
PeerRoot = Annotated[
    Path | None, typer.Option("--peer-ingress-nginx", help="root file system with ingress-nginx's controller in it")
]
PeerTraefik = Annotated[Path | None, typer.Option("--peer-traefik", help="a built traefik")]
Quick = Annotated[bool, typer.Option("--quick", help="show that it works; the figures mean nothing and are not kept")]
Seed = Annotated[int, typer.Option(help="of what is left to chance")]


@app.callback()
def everything(
    context: typer.Context,
    *,
    peer_helm_operator: PeerSource = None,
    peer_ingress_nginx: PeerRoot = None,
    peer_traefik: PeerTraefik = None,
    quick: Quick = False,
) -> None:
    """Measure what the project promises, beside the programs that people use today; without a name: everything."""
    if context.invoked_subcommand is None:
        engine(peer_helm_operator=peer_helm_operator, quick=quick)
        dataplane(peer_ingress_nginx=peer_ingress_nginx, peer_traefik=peer_traefik, quick=quick)
        multicluster(quick=quick)
        api(quick=quick)


@app.command()
def engine(
    *,
    peer_helm_operator: PeerSource = None,
    quick: Quick = False,
    only: Annotated[str, typer.Option(help=f"parts, separated by commas, of {','.join(ORDER)}")] = ",".join(ORDER),
    minutes: Annotated[float, typer.Option(help="length of the soak")] = 10,
    seed: Seed = 1,
) -> None:
    """Measure the release engine beside operator-sdk's helm-operator; parts that are not asked for keep their rows."""
    parts = _chosen(only, ORDER)
    _engine("engine", parts, peer_helm_operator, quick=quick, minutes=minutes, seed=seed)


@app.command()
def dataplane(
    *,
    peer_ingress_nginx: PeerRoot = None,
    peer_traefik: PeerTraefik = None,
    quick: Quick = False,
    only: Annotated[str, typer.Option(help=f"parts, separated by commas, of {','.join(DATAPLANE_ORDER)}")] = ",".join(
        DATAPLANE_ORDER
    ),
    renderers: Annotated[str, typer.Option(help="ours, separated by commas")] = ",".join(RENDERERS),
    seed: Seed = 1,
) -> None:
    """Measure the gateway's data plane beside a hand-written nginx.conf, ingress-nginx and traefik; needs root."""
    parts = _chosen(only, DATAPLANE_ORDER)
    chosen = tuple(_chosen(renderers, RENDERERS))
    results = _results("dataplane", DATAPLANE_ORDER, quick=quick)

    def measure() -> list[str]:
        peers: list[Peer] = [ingress_nginx.root(peer_ingress_nginx)] if peer_ingress_nginx else []
        if peer_traefik:
            peers.append(traefik.program(peer_traefik))
        return dataplane_run.run(results, parts, renderers=chosen, peers=tuple(peers), quick=quick, seed=seed)

    _run(results, measure, quick=quick)


@app.command()
def multicluster(
    *,
    quick: Quick = False,
    only: Annotated[
        str, typer.Option(help=f"parts, separated by commas, of {','.join(MULTICLUSTER_ORDER)}")
    ] = ",".join(MULTICLUSTER_ORDER),
    seed: Seed = 1,
) -> None:
    """Measure policies over several clusters; needs root."""
    parts = _chosen(only, MULTICLUSTER_ORDER)
    results = _results("multicluster", MULTICLUSTER_ORDER, quick=quick)
    _run(results, lambda: multicluster_run.run(results, parts, quick=quick, seed=seed), quick=quick)


@app.command()
def api(
    *,
    quick: Quick = False,
    only: Annotated[str, typer.Option(help=f"parts, separated by commas, of {','.join(API_ORDER)}")] = ",".join(
        API_ORDER
    ),
    seed: Seed = 1,
) -> None:
    """Measure the HTTP API beside bare calls of what is behind it."""
    parts = _chosen(only, API_ORDER)
    results = _results("api", API_ORDER, quick=quick)
    _run(results, lambda: api_run.run(results, parts, quick=quick, seed=seed), quick=quick)


@app.command()
def soak(
    *,
    minutes: Annotated[float, typer.Option(help="how long")] = 10,
    hours: Annotated[float, typer.Option(help="how long, instead of minutes")] = 0,
    quick: Quick = False,
    seed: Seed = 1,
) -> None:
    """Let changes, drift and autoscalers go on for long, and look for growth and fights."""
    _engine("soak", ["soak"], None, quick=quick, minutes=hours * 60 or minutes, seed=seed)


@app.command()
def docs() -> None:
    """Write docs/performance.md from the results."""
    _end(page.write())


@app.command("list")
def list_() -> None:
    """Name the benchmarks."""
    print(f"engine        the release engine: {', '.join(ORDER)}")
    print(f"dataplane     the gateway's data plane: {', '.join(DATAPLANE_ORDER)}")
    print(f"multicluster  policies over several clusters: {', '.join(MULTICLUSTER_ORDER)}")
    print(f"api           the HTTP API: {', '.join(API_ORDER)}")
    print("soak          a longer soak of the release engine")


def _chosen(text: str, known: tuple[str, ...]) -> list[str]:
    chosen = [one for one in text.split(",") if one]
    if unknown := set(chosen) - set(known):
        raise typer.BadParameter(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return chosen


def _results(name: str, order: tuple[str, ...], *, quick: bool) -> Results:
    return Results(name, order, Path(tempfile.gettempdir()) / "bench-quick" if quick else FOLDER)


def _engine(name: str, parts: list[str], peer: Path | None, *, quick: bool, minutes: float, seed: int) -> None:
    results = _results(name, ORDER, quick=quick)
    _run(
        results,
        lambda: engine_run.run(results, parts, peer_source=peer, quick=quick, minutes=minutes, seed=seed),
        quick=quick,
    )


def _run(results: Results, measure: Callable[[], list[str]], *, quick: bool) -> None:
    """Measure, show the whole table, and end with 1 when a part broke or a mark was missed."""
    try:
        broken = measure()
    except LabError as error:
        sys.exit(f"bench: {error}")
    whole = results.load()
    if not whole["rows"]:
        sys.exit("bench: nothing was measured")
    print(f"\n{whole['machine']}, {whole['date']}, commit {whole['commit']}\n")
    print(f"{table(whole['rows'])}\n\n{results.file}")
    _end([*(f"{part} (broke)" for part in broken), *([] if quick else missed(whole["rows"]))])


def _end(failed: list[str]) -> None:
    """Exit with 1 when a mark was missed."""
    if failed:
        sys.exit("missed: " + "; ".join(failed))
