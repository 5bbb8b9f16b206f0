"""The commands of the lab, as people and make targets use them: `python -m lab up`, `down`, `status` and so on."""

import os
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lab import tools
from lab.apiserver import ApiCluster
from lab.cluster import COMPONENTS, Cluster, Lab
from lab.control import ControlPlane
from lab.debian import FOR_NODES, require
from lab.errors import LabError
from lab.images import image, system_images
from lab.paths import run_dir, say
from lab.process import Daemons

app = typer.Typer(no_args_is_help=True, help=(sys.modules["lab"].__doc__ or "").split("\n", 1)[0])


class Size(StrEnum):
    """How much of Kubernetes runs."""

    full = "full"
    api = "api"


class Networks(StrEnum):
    """How clusters reach each other."""

    flat = "flat"
    separate = "separate"


class Cut(StrEnum):
    """What doesn't reach a cluster any more."""

    all = "all"
    api = "api"
    pods = "pods"


LabName = Annotated[str, typer.Option("--name", "--lab", help="the lab; several can run side by side")]
UserCluster = Annotated[Path | None, typer.Option(help="use this cluster instead of a lab's")]
ClusterName = Annotated[str, typer.Argument(help="a cluster's name")]


@app.command()
def up(
    *,
    size: Annotated[Size, typer.Option(help="full: pods run; api: only the API, no root needed")] = Size.full,
    clusters: Annotated[str, typer.Option(help="names, separated by commas")] = "centre",
    network: Annotated[Networks, typer.Option(help="flat: pods reach pods; separate: only nodes do")] = Networks.flat,
    name: LabName = "demo",
) -> None:
    """Start clusters, or what is missing of them."""
    if size is Size.api:
        folder = run_dir(name)
        cluster = ApiCluster.find(folder) or ApiCluster.start(folder, tied=False)
        print(f"export KUBECONFIG={cluster.kubeconfig}")
        return
    lab = Lab.up(clusters.split(","), network.value, name)
    for one in lab:
        print(f"{one.name}: node {one.node_ip}, export KUBECONFIG={one.kubeconfig}")


@app.command()
def down(name: LabName = "demo") -> None:
    """End a lab and remove everything it left on the machine."""
    lab = Lab.find(name)
    if lab:
        lab.down()
    folder = run_dir(name)
    Daemons(folder / "api").stop_all(kill=True)
    shutil.rmtree(folder, ignore_errors=True)
    say(f"the lab {name} is gone")


@app.command()
def status(name: LabName = "demo") -> None:
    """Show what runs; the exit status is 1 unless all of it is well."""
    lab = Lab.find(name)
    api = ApiCluster.find(run_dir(name))
    if api:
        print(f"api: ready at {api.url}, export KUBECONFIG={api.kubeconfig}")
    if not lab and not api:
        raise LabError(f"no lab {name} runs; `python -m lab up --name {name}` starts it")
    problems = [_show(cluster) for cluster in lab or ()]
    if any(problems):
        raise typer.Exit(1)


def _show(cluster: Cluster) -> bool:
    words = cluster.problems() or ([] if cluster.healthy() else ["its node isn't ready"])
    print(f"{cluster.name}: node {cluster.node_ip}, {'; '.join(words) or 'healthy'}")
    return bool(words)


@app.command()
def build() -> None:
    """Build all programs and images without starting anything."""
    require(FOR_NODES)
    tools.binaries(tools.TOOLS)
    tools.nginx()
    for one in [*system_images(), image()]:
        print(f"{one.name}  {one.archive}")


@app.command()
def images(name: LabName = "demo") -> None:
    """Build the images and load them into every cluster of the lab."""
    built = [*system_images(), image()]
    for cluster in Lab.find(name) or ():
        for one in built:
            cluster.ensure(one)
    for one in built:
        print(one.name)


@app.command()
def kubeconfig(cluster: ClusterName, name: LabName = "demo") -> None:
    """Print the path of a cluster's kubeconfig."""
    print(_control(cluster, name).kubeconfig)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def kubectl(context: typer.Context, cluster: ClusterName, name: LabName = "demo") -> None:
    """Run kubectl against a cluster: `kubectl centre -- get pods`."""
    program = str(tools.binary("kubectl"))
    os.execv(program, [program, "--kubeconfig", str(_control(cluster, name).kubeconfig), *context.args])  # noqa: S606


@app.command()
def logs(cluster: ClusterName, component: str, name: LabName = "demo", lines: int = 100) -> None:
    """Print the end of a daemon's output."""
    daemons = _control(cluster, name).daemons
    if component not in daemons.names():
        raise LabError(f"{cluster} has no {component!r}; there are {', '.join(COMPONENTS)}")
    print(daemons.tail(component, lines))


@app.command()
def cut(
    cluster: ClusterName,
    name: LabName = "demo",
    what: Annotated[Cut, typer.Option(help="all: everything; api: its API server; pods: its pods")] = Cut.all,
) -> None:
    """Cut a cluster off in silence: packets to and from it are dropped."""
    _cluster(cluster, name).cut(what.value)
    print(f"{cluster} is cut off ({what.value}); `python -m lab heal {cluster} --name {name}` ends it")


@app.command()
def heal(cluster: ClusterName, name: LabName = "demo") -> None:
    """End a cut."""
    _cluster(cluster, name).heal()


@app.command()
def demo(kubeconfig: UserCluster = None) -> None:
    """Show everything at work, on a lab's cluster or on one of yours."""
    from lab.demo import tell  # noqa: PLC0415 (the other commands need nothing of it)

    tell(kubeconfig)


@app.command("demo-down")
def demo_down(kubeconfig: UserCluster = None) -> None:
    """Take the demo away."""
    from lab.demo import down as end  # noqa: PLC0415 (as above)

    end(kubeconfig)


def _control(cluster: str, name: str) -> ControlPlane:
    api = ApiCluster.find(run_dir(name)) if cluster == "api" else None
    if api:
        return api.control
    return _cluster(cluster, name).control


def _cluster(cluster: str, name: str) -> Cluster:
    lab = Lab.find(name)
    if not lab:
        raise LabError(f"no lab {name} runs; `python -m lab up --name {name}` starts it")
    try:
        return lab[cluster]
    except KeyError as error:
        raise LabError(str(error.args[0])) from None


def main() -> None:
    """Run a command; what the lab can't do is told in a line, without a traceback."""
    try:
        app()
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        raise SystemExit(1) from None
