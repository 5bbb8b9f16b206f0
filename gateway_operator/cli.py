"""The command line: one program, one command per role, and what a person needs beside them.

Each command imports its own role only, so that the nginx supervisor starts in a blink and no role carries another's
memory.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

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
    watches_path: Annotated[str | None, typer.Option(help="watches.yaml; empty turns the release engine off.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Working namespace; empty: each project's own.")] = None,
    repository: Annotated[str | None, typer.Option(help="Image repository of every gateway.")] = None,
    tag: Annotated[str | None, typer.Option(help="Image tag of every gateway.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Kubeconfig; unset: $KUBECONFIG, the pod's own.")] = None,
    leader_elect: Annotated[bool | None, typer.Option(help="Wait for the lease before doing anything.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_json: Annotated[bool | None, typer.Option(help="Log lines as JSON.")] = None,
) -> None:
    """Run the operator: Gateways and other rows of watches.yaml become Helm releases, and stay what they should be."""
    from gateway_operator.app import run_operator  # noqa: PLC0415
    from gateway_operator.settings import load_settings  # noqa: PLC0415
    from gateway_operator.telemetry import setup_logging  # noqa: PLC0415

    flags: dict[str, Any] = {
        "gateway": {"watchesPath": watches_path, "namespace": namespace, "repository": repository, "tag": tag},
        "kubeconfig": kubeconfig,
        "leaderElect": leader_elect,
        "logLevel": log_level,
        "logJson": log_json,
    }
    settings = load_settings(config, flags)
    setup_logging(settings.log_level, json=settings.log_json)
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
