"""The commands' names, options and help; what they do is imported when one is called."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gateway_operator.commands.session import Session

Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig; unset: $KUBECONFIG, the pod's own, ~/.kube/config.")
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace; unset: the context's.")]
Namespaces = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Objects of this namespace only; unset: all.")
]
Output = Annotated[str, typer.Option("--output", "-o", help="table or json.")]
Watches = Annotated[
    Path | None,
    typer.Option("--watches-file", help="The operator's watches.yaml; unset: one in this directory, the image's."),
]
KindArgument = Annotated[str, typer.Argument(metavar="KIND", help="Kind, plural or short name, as gateway or mgw.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the object.")]


def add_commands(cli: typer.Typer) -> None:
    """Add the commands for people to the program."""
    for command in (diff, history, rollback, doctor, detach, move, compat, join, explain, api):
        cli.command()(command)


def diff(
    kind: KindArgument,
    name: NameArgument,
    filename: Annotated[
        Path | None, typer.Option("--filename", "-f", help="Look at the object in this file instead of the cluster's.")
    ] = None,
    watches_file: Watches = None,
    config: Annotated[Path | None, typer.Option(help="The operator's settings; unset: those in the cluster.")] = None,
    helm: Annotated[str, typer.Option(help="The helm program, a name on PATH or a path.")] = "helm",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    output: Output = "table",
) -> None:
    """Show what the operator would do for an object: ports and addresses first, then values, manifest and drift.

    Nothing is written. Values of Secrets, and of keys that look like one, are shown as ***. Ends with 1 when there is
    something to do, else with 0.
    """
    from gateway_operator.commands import diff as command  # noqa: PLC0415

    session = _session(kubeconfig, context, namespace, output)
    _run(command.run(session, kind, name, file=filename, watches_file=watches_file, config=config, helm=helm))


def history(
    kind: KindArgument,
    name: NameArgument,
    watches_file: Watches = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    output: Output = "table",
) -> None:
    """List the revisions of an object's release: status, chart, digest of the inputs, time, and who ran Helm."""
    from gateway_operator.commands import history as command  # noqa: PLC0415

    _run(command.run(_session(kubeconfig, context, namespace, output), kind, name, watches_file))


def rollback(
    kind: KindArgument,
    name: NameArgument,
    revision: Annotated[int | None, typer.Argument(metavar="REVISION", help="A revision that history lists.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="End the hold: follow the object's spec again.")] = False,  # noqa: FBT002
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done, and tell how it goes.")] = True,  # noqa: FBT002
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 300.0,
    watches_file: Watches = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    output: Output = "table",
) -> None:
    """Go back to a revision and stay there, until --resume.

    The operator does it; this command asks by the annotation gateway.kubesphere.io/rollback-to.
    """
    from gateway_operator.commands import rollback as command  # noqa: PLC0415

    if (revision is None) == (not resume):
        raise typer.BadParameter("give a REVISION, or --resume")
    session = _session(kubeconfig, context, namespace, output)
    _run(command.run(session, kind, name, revision, watches_file, resume=resume, wait=wait, timeout=timeout))


def move(
    name: NameArgument,
    to: Annotated[str, typer.Option("--to", help="The namespace that it goes to.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check, and say what would happen.")] = False,  # noqa: FBT002
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 300.0,
    config: Annotated[Path | None, typer.Option(help="The operator's settings; unset: those in the cluster.")] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    output: Output = "table",
) -> None:
    """Move a Gateway to another namespace, as after a change of the working namespace; its node ports stay.

    It answers nothing from when it is taken down until it runs there. The same command goes on where one was stopped.
    """
    from gateway_operator.commands import move as command  # noqa: PLC0415

    session = _session(kubeconfig, context, namespace, output)
    _run(command.run(session, name, to, config, dry_run=dry_run, timeout=timeout))


def doctor(
    operator_namespace: Annotated[
        str | None, typer.Option(help="Namespace of the operator; unset: wherever it is found.")
    ] = None,
    watches_file: Watches = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespaces = None,
    output: Output = "table",
) -> None:
    """Name what is wrong with the operator, its releases and gateways, and what to do about it.

    Only reads. Ends with 1 when there is a problem.
    """
    from gateway_operator.commands.doctor import command  # noqa: PLC0415

    session = _session(kubeconfig, context, namespace, output)
    _run(command.run(session, operator_namespace, watches_file))


def detach(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the objects.")] = False,  # noqa: FBT002
    watches_file: Watches = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespaces = None,
    output: Output = "table",
) -> None:
    """Take the operator's finalizers off all objects; their releases and gateways stay as they are.

    For when the operator is gone, or about to be: an object that has a finalizer can't be deleted without it. A running
    operator puts the finalizers back.
    """
    from gateway_operator.commands import detach as command  # noqa: PLC0415

    _run(command.run(_session(kubeconfig, context, namespace, output), watches_file, dry_run=dry_run))


def compat(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Manifests: files, folders or -; none: look at the cluster."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List what works for each object, too.")] = False,  # noqa: FBT002
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespaces = None,
    output: Annotated[str, typer.Option("--output", "-o", help="table, json or markdown.")] = "table",
) -> None:
    """Tell which annotations, ConfigMap keys and flags of ingress-nginx work with this gateway, and which don't.

    Only reads. Ends with 1 when something is not supported, else with 0 (docs/compat.md).
    """
    from gateway_operator.commands import compat as command  # noqa: PLC0415

    session = _session(kubeconfig, context, namespace, output, "table", "json", "markdown")
    _run(command.run(session, files or [], everything=everything))


def explain(
    host: Annotated[str, typer.Argument(metavar="HOST", help="Host of the request, as cafe.example.com.")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path of the request, as /tea/green.")],
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", help="Look at policies, members and gateways in these files, not in the cluster."),
    ] = None,
    region: Annotated[str, typer.Option(help="Region of the gateways, for files with locality: LocalFirst.")] = "",
    zone: Annotated[str, typer.Option(help="Zone of the gateways, likewise.")] = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = None,
    output: Output = "table",
) -> None:
    """Tell which ClusterTrafficPolicy answers a request, which clusters get how much of such requests, and why.

    Over the cluster also whether the gateways have acknowledged it. Ends with 1 when no policy has the request.
    """
    from gateway_operator.clusters.evaluation import Place  # noqa: PLC0415
    from gateway_operator.commands import explain as command  # noqa: PLC0415

    session = _session(kubeconfig, context, namespace, output)
    _run(command.run(session, host, path, file or [], Place(region, zone)))


def join(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the member, as policies will use it.")],
    kubeconfig: Annotated[
        Path, typer.Option("--kubeconfig", help="Kubeconfig of an administrator of the member; it isn't kept.")
    ],
    context: Annotated[str | None, typer.Option("--context", help="Context of that kubeconfig.")] = None,
    centre_kubeconfig: Annotated[
        Path | None,
        typer.Option(help="Kubeconfig of the operator's cluster; unset: $KUBECONFIG, the pod's own, ~/.kube/config."),
    ] = None,
    centre_context: Annotated[str | None, typer.Option(help="Context of the operator's cluster.")] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="The operator's namespace; unset: wherever it is found.")
    ] = None,
    member_namespace: Annotated[
        str, typer.Option(help="Namespace of the account in the member; made if it isn't there.")
    ] = "gateway-operator-member",
    server: Annotated[
        str | None, typer.Option(help="URL of the member's API server as the operator reaches it; unset: kubeconfig's.")
    ] = None,
    region: Annotated[str, typer.Option(help="Region in which the member stands.")] = "",
    zone: Annotated[str, typer.Option(help="Zone in which the member stands.")] = "",
    network: Annotated[str, typer.Option(help="Network of the member's pods.")] = "",
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for the operator; 0: don't, and keep old tokens.")
    ] = 30.0,
    keep_old: Annotated[bool, typer.Option("--keep-old", help="Leave earlier tokens valid.")] = False,  # noqa: FBT002
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be made.")] = False,  # noqa: FBT002
    output: Output = "table",
) -> None:
    """Make another cluster a member, or give a member a new credential.

    In the member it makes an account that may read Services and EndpointSlices, and a token for it; in the
    operator's cluster a Secret with the kubeconfig and a MemberCluster. The token is tried before anything uses it.

    Run again, it rotates: old tokens are taken back only when the operator uses the new one. Ends with 1 when the
    operator doesn't use it in time.
    """
    from gateway_operator.commands import join as command  # noqa: PLC0415

    options = command.Options(
        name, kubeconfig, context, member_namespace, server, region, zone, network, timeout, keep_old, dry_run
    )
    _run(command.run(_session(centre_kubeconfig, centre_context, namespace, output), options))


def api(
    config: Annotated[Path | None, typer.Option(help="Settings as YAML; see docs/spec/api.md.")] = None,
    gateway_config: Annotated[
        Path | None, typer.Option(help="The operator's settings, of which the section gateway holds here, too.")
    ] = None,
    listen: Annotated[str | None, typer.Option(help="Where the API listens, as :9443.")] = None,
    tls_cert_file: Annotated[Path | None, typer.Option(help="Certificate chain; read again when it changes.")] = None,
    tls_key_file: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    client_ca_file: Annotated[
        Path | None, typer.Option(help="Authority of client certificates; unset: the cluster's.")
    ] = None,
    watches_file: Watches = None,
    providers_file: Annotated[
        Path | None, typer.Option(help="The catalogue of providers; see docs/spec/api.md.")
    ] = None,
    helm: Annotated[str | None, typer.Option(help="The helm program, for manifests in plans.")] = None,
    kubeconfig: Kubeconfig = None,
    metrics_bind_address: Annotated[str | None, typer.Option(help="Where /metrics listens; empty: nowhere.")] = None,
    health_probe_bind_address: Annotated[
        str | None, typer.Option(help="Where /healthz and /readyz listen; empty: nowhere.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_json: Annotated[bool | None, typer.Option(help="Log lines as JSON.")] = None,
) -> None:
    """Run the HTTP API over gateways, their logs and their metrics, for tenants (docs/spec/api.md)."""
    import uvloop  # noqa: PLC0415

    from gateway_operator.commands import api as command  # noqa: PLC0415
    from gateway_operator.settings_api import load_api_settings  # noqa: PLC0415
    from gateway_operator.telemetry import setup_logging  # noqa: PLC0415

    tls = {"certFile": tls_cert_file, "keyFile": tls_key_file, "clientCaFile": client_ca_file}
    flags: dict[str, Any] = {
        "api": {
            "listen": listen,
            "tls": tls,
            "watchesFile": watches_file,
            "providersFile": providers_file,
            "helm": helm,
        },
        "kubeconfig": kubeconfig,
        "metricsBindAddress": metrics_bind_address,
        "healthProbeBindAddress": health_probe_bind_address,
        "logLevel": log_level,
        "logJson": log_json,
    }
    settings = load_api_settings(config, gateway_config, flags)
    setup_logging(settings.log_level, json=settings.log_json)
    uvloop.run(command.run(settings))


def _session(kubeconfig: Path | None, context: str | None, namespace: str | None, output: str, *forms: str) -> Session:
    from gateway_operator.commands.session import Session  # noqa: PLC0415

    forms = forms or ("table", "json")
    if output not in forms:
        raise typer.BadParameter(f"-o must be {', '.join(forms[:-1])} or {forms[-1]}")
    return Session(kubeconfig, context, namespace, output)


def _run(work: Coroutine[Any, Any, int]) -> None:
    raise typer.Exit(asyncio.run(work))
