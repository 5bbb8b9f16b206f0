"""The command line: one program, one command per role, and what a person needs beside them.

Each command imports its own role only, so that the nginx supervisor starts in a blink and no role carries another's
memory.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway_operator.commands.register import add_commands
from gateway_operator.errors import ConfigError, GatewayOperatorError

USAGE_ERROR = 2
_RAW = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

cli = typer.Typer(
    help="Gateway manager for Kubernetes: Gateway objects become running, repaired, observable nginx gateways.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


@cli.command()
def run(
    config: Annotated[Path | None, typer.Option(help="Settings as YAML; see docs/settings.md.")] = None,
    watches_path: Annotated[
        str | None,
        typer.Option("--watches-file", "--watches-path", help="watches.yaml; empty turns the release engine off."),
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Working namespace; empty: each project's own.")] = None,
    repository: Annotated[str | None, typer.Option(help="Image repository of every gateway.")] = None,
    tag: Annotated[str | None, typer.Option(help="Image tag of every gateway.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Kubeconfig; unset: $KUBECONFIG, the pod's own.")] = None,
    reconcile_period: Annotated[
        str | None, typer.Option(help="Time between two looks at an unchanged object, as 1m30s; 0: none.")
    ] = None,
    max_concurrent_reconciles: Annotated[int | None, typer.Option(help="Helm processes at once.")] = None,
    metrics_bind_address: Annotated[
        str | None, typer.Option(help="Where /metrics listens, as :8080; empty or 0: nowhere.")
    ] = None,
    health_probe_bind_address: Annotated[
        str | None, typer.Option(help="Where /healthz and /readyz listen, as :8081; empty or 0: nowhere.")
    ] = None,
    leader_elect: Annotated[bool | None, typer.Option(help="Wait for the lease before doing anything.")] = None,
    leader_election_id: Annotated[str | None, typer.Option(help="Name of the lease.")] = None,
    leader_election_namespace: Annotated[str | None, typer.Option(help="Namespace of the lease.")] = None,
    suppress_override_values: Annotated[
        bool | None, typer.Option(help="Show **** for values in Events about overrideValues.")
    ] = None,
    helm: Annotated[str | None, typer.Option(help="The helm program, a name on PATH or a path.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_json: Annotated[bool | None, typer.Option(help="Log lines as JSON.")] = None,
) -> None:
    """Run the operator: Gateways and other rows of watches.yaml become Helm releases, and stay what they should be."""
    from gateway_operator.releases.durations import parse_duration  # noqa: PLC0415
    from gateway_operator.settings import load_settings  # noqa: PLC0415
    from gateway_operator.telemetry import setup_logging  # noqa: PLC0415

    try:
        period = parse_duration(reconcile_period) if reconcile_period is not None else None
    except ValueError as error:
        raise ConfigError(f"--reconcile-period: {error}") from error
    flags: dict[str, Any] = {
        "gateway": {"watchesPath": watches_path, "namespace": namespace, "repository": repository, "tag": tag},
        "kubeconfig": kubeconfig,
        "reconcilePeriod": period,
        "maxConcurrentReconciles": max_concurrent_reconciles,
        "metricsBindAddress": metrics_bind_address,
        "healthProbeBindAddress": health_probe_bind_address,
        "leaderElect": leader_elect,
        "leaseName": leader_election_id,
        "leaseNamespace": leader_election_namespace,
        "suppressOverrideValues": suppress_override_values,
        "helm": helm,
        "logLevel": log_level,
        "logJson": log_json,
    }
    settings = load_settings(config, flags)
    setup_logging(settings.log_level, json=settings.log_json)
    from gateway_operator.app import run_operator  # noqa: PLC0415 - most of the start: after what is soon found wrong

    asyncio.run(run_operator(settings))


@cli.command(context_settings=_RAW)
def ingress(context: typer.Context) -> None:
    """Run the ingress controller of a gateway pod; takes ingress-nginx's flags (docs/spec/ingress.md)."""
    from gateway_operator.ingress.main import run as run_ingress  # noqa: PLC0415
    from gateway_operator.ingress.options import parse_flags  # noqa: PLC0415

    raise typer.Exit(asyncio.run(run_ingress(parse_flags(context.args))))


@cli.command(context_settings=_RAW)
def nginx(context: typer.Context) -> None:
    """Run and supervise the nginx of a gateway pod; it reloads on a word over a unix socket."""
    from gateway_operator.ingress.supervisor import main as supervise  # noqa: PLC0415

    raise typer.Exit(supervise(context.args))


@cli.command()
def conf(
    run_dir: Annotated[Path, typer.Option(help="the folder that controller and nginx share")] = Path("/run/gateway"),
    *,
    blame: Annotated[bool, typer.Option("--blame", help="show who is behind what, and who is left out")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show what nginx of this pod has now: files, data, and with --blame who is behind them."""
    from gateway_operator.ingress import conf as shown  # noqa: PLC0415

    found = shown.blame(run_dir) if blame else shown.describe(run_dir)
    lines = shown.blame_lines(found) if blame else shown.lines_of(found)
    typer.echo(json.dumps(found, indent=1) if as_json else "\n".join(lines))


add_commands(cli)


@cli.command()
def version() -> None:
    """Print the version."""
    from gateway_operator import __version__  # noqa: PLC0415

    typer.echo(__version__)


def main() -> None:
    """Run the program; what a user can mend ends with one line and exit code 2 (settings) or 1."""
    try:
        cli()
    except ConfigError as error:
        sys.stderr.write(f"gateway-operator: {error}\n")
        sys.exit(USAGE_ERROR)
    except GatewayOperatorError as error:
        sys.stderr.write(f"gateway-operator: {error}\n")
        sys.exit(1)
