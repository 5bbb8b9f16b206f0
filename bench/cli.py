"""The command line: which benchmark, which parts of it, beside which peers."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench import docs as page
from bench.engine import ORDER
from bench.engine import run as engine_run
from bench.results import FOLDER, Results, missed
from bench.table import table
from lab.errors import LabError

app = typer.Typer(invoke_without_command=True, help=(sys.modules["bench"].__doc__ or "").split("\n", 1)[0])

PeerSource = Annotated[
    Path | None, typer.Option("--peer-helm-operator", help="clone of operator-sdk, or a built helm-operator")
]
Quick = Annotated[bool, typer.Option("--quick", help="show that it works; the figures mean nothing and are not kept")]
Seed = Annotated[int, typer.Option(help="of what is left to chance")]


@app.callback()
def everything(context: typer.Context, *, peer_helm_operator: PeerSource = None, quick: Quick = False) -> None:
    """Measure what the project promises, beside the programs that people use today; without a name: everything."""
    if context.invoked_subcommand is None:
        engine(peer_helm_operator=peer_helm_operator, quick=quick)


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
    parts = [part for part in only.split(",") if part]
    if unknown := set(parts) - set(ORDER):
        raise typer.BadParameter(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(ORDER)}")
    _run("engine", parts, peer_helm_operator, quick=quick, minutes=minutes, seed=seed)


@app.command()
def soak(
    *,
    minutes: Annotated[float, typer.Option(help="how long")] = 10,
    hours: Annotated[float, typer.Option(help="how long, instead of minutes")] = 0,
    quick: Quick = False,
    seed: Seed = 1,
) -> None:
    """Let changes, drift and autoscalers go on for long, and look for growth and fights."""
    _run("soak", ["soak"], None, quick=quick, minutes=hours * 60 or minutes, seed=seed)


@app.command()
def docs() -> None:
    """Write docs/performance.md from the results."""
    _end(page.write())


@app.command("list")
def list_() -> None:
    """Name the benchmarks."""
    print(f"engine  the release engine: {', '.join(ORDER)}\nsoak    a longer soak of the release engine")


def _run(name: str, parts: list[str], peer: Path | None, *, quick: bool, minutes: float, seed: int) -> None:
    results = Results(name, ORDER, Path(tempfile.gettempdir()) / "bench-quick" if quick else FOLDER)
    try:
        broken = engine_run.run(results, parts, peer_source=peer, quick=quick, minutes=minutes, seed=seed)
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
