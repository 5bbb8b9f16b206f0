"""The only place that runs helm.

pyhelm3 knows Helm's commands and versions; how a process is run is ours. Its own runner goes through a shell, logs
whole command lines, and can leave helm alive when the operator dies. Ours gives each helm a process group, lets the
kernel kill it with the operator (so that a pending release means a dead holder), bounds how many run at once, and
passes values by stdin and credentials by file, never by argument.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import ctypes
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Histogram
from pyhelm3 import Command

from gateway_operator.errors import ConfigError
from gateway_operator.releases.helm_errors import HelmError, HelmTimeout, ReleaseNotFound, classify
from gateway_operator.telemetry import get_logger

HELM_RUNS = Counter("gateway_operator_helm_runs_total", "Runs of helm.", ["verb", "result"])
HELM_SECONDS = Histogram(
    "gateway_operator_helm_seconds", "Duration of helm runs.", ["verb"], buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300)
)

_TERM_GRACE = 2.0  # an upgrade that is told to stop writes its record in less
_PREVIEW_TIMEOUT = 60.0
_HARD_LIMIT = 10.0  # beyond helm's own timeout, which holds for each hook and not for the whole run
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_log = get_logger(__name__)


@dataclass(frozen=True)
class HelmOptions:
    """How every helm is run."""

    executable: str = "helm"
    kubeconfig: Path | None = None
    context: str | None = None
    timeout: float = 300.0
    history_max: int = 10
    concurrency: int = 4
    guard: Callable[[str], None] = lambda _what: None  # told before each start; raises what must keep helm from it


@dataclass(frozen=True)
class RunOptions:
    """How one helm is run; `timeout` is in seconds, `force` replaces objects that can't be changed."""

    timeout: float
    force: bool = False
    disable_hooks: bool = False
    description: str = ""
    skip_crds: bool = False
    history_max: int | None = None  # revisions that Helm leaves; None: as in HelmOptions


class _Runner(Command):  # type: ignore[misc]
    """pyhelm3's commands over our own processes."""

    def __init__(self, options: HelmOptions, home: Path) -> None:
        super().__init__(
            default_timeout=f"{options.timeout:g}s",
            executable=options.executable,
            history_max_revisions=options.history_max,
        )
        self._path = shutil.which(options.executable) or options.executable
        self._env = _environment(options, home)
        self._slots = asyncio.Semaphore(options.concurrency)
        self._limit = options.timeout + _HARD_LIMIT
        self._guard = options.guard
        self._extra: tuple[str, ...] = ()

    def with_arguments(self, *extra: str, timeout: float, history_max: int | None = None) -> _Runner:
        """Return a runner that adds `extra`, for which pyhelm3 has no parameter, and stops helm after `timeout`."""
        other = copy.copy(self)
        if history_max is not None:
            other._history_max_revisions = history_max  # noqa: SLF001
        other._extra = extra  # noqa: SLF001
        other._limit = timeout + _HARD_LIMIT  # noqa: SLF001
        return other

    async def run(self, command: list[Any], input: bytes | None = None) -> bytes:  # noqa: A002 - pyhelm3's name
        """Run one command; raises HelmError."""
        verb = str(command[0])
        arguments = [*map(str, command), *self._extra]
        async with self._slots:
            self._guard(f"helm {verb}")
            started = time.monotonic()
            result = "error"
            try:
                output = await self._execute(arguments, input)
                result = "ok"
            except asyncio.CancelledError:
                result = "cancelled"
                raise
            finally:
                HELM_RUNS.labels(verb, result).inc()
                HELM_SECONDS.labels(verb).observe(time.monotonic() - started)
        return output

    async def _execute(self, arguments: list[str], stdin: bytes | None) -> bytes:
        process = await asyncio.create_subprocess_exec(
            "helm",  # argv[0]: helm 4 takes its field manager's name from it
            *arguments,
            executable=self._path,
            env=self._env,
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),
        )
        try:
            async with asyncio.timeout(self._limit):
                stdout, stderr = await process.communicate(stdin)
        except TimeoutError:
            raise HelmTimeout(f"helm {arguments[0]} was stopped after {self._limit:g} s") from None
        finally:
            await asyncio.shield(_end(process))
        if process.returncode != 0:
            raise classify(stderr.decode(errors="replace"))
        return stdout


def _environment(options: HelmOptions, home: Path) -> dict[str, str]:
    """Build helm's environment: of our own, so that no user's plugins or settings leak in."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("HELM_")}
    env |= {
        "HELM_CACHE_HOME": str(home / "cache"),
        "HELM_CONFIG_HOME": str(home / "config"),
        "HELM_DATA_HOME": str(home / "data"),
        "HELM_DRIVER": "secret",
        "HELM_QPS": "100",  # not 5: a release of hundreds of objects would take minutes, all of them waiting
        "GOGC": env.get("GOGC", "400"),  # a process of a second needs no thrift: a seventh less CPU
        "KUBECACHEDIR": str(home / "kube"),
    }
    if options.kubeconfig:
        env["KUBECONFIG"] = str(options.kubeconfig)
    if options.context:
        env["HELM_KUBECONTEXT"] = options.context
    return env


def _die_with(parent: int) -> Callable[[], None]:
    """Let the kernel kill the child when the operator ends, however it ends."""

    def prepare() -> None:  # runs between fork and exec: nothing but system calls
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


async def _end(process: asyncio.subprocess.Process) -> None:
    """Stop a process group that still runs: politely, then not."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TERM_GRACE):
                await process.wait()


class Helm:
    """What the engine asks of helm."""

    def __init__(self, runner: _Runner, version: str) -> None:
        self._runner = runner
        self.version = version
        self.applies = self._four = not version.startswith("3.")  # on the server

    async def upgrade(
        self, *, name: str, namespace: str, chart: Path, values: dict[str, Any], labels: dict[str, str], how: RunOptions
    ) -> int:
        """Install or upgrade a release and return its revision. Raises HelmError.

        Helm 4 forces conflicts: the chart is what its owner asked for, and Helm 3's merge wins over others as well. It
        also leaves validation to the API server, which does it strictly for an apply: to fetch and parse OpenAPI
        documents in every run is two thirds of helm's work.
        """
        extra = ["--labels", ",".join(f"{k}={v}" for k, v in sorted(labels.items()))]
        if self._four:
            extra.append("--disable-openapi-validation")
        runner = self._runner.with_arguments(*extra, timeout=how.timeout, history_max=how.history_max)
        answer = await runner.install_or_upgrade(
            name,
            chart,
            values,
            create_namespace=False,
            namespace=namespace,
            no_hooks=how.disable_hooks,
            description=how.description or None,
            skip_crds=how.skip_crds,
            force=how.force and not self._four,
            force_replace=how.force and self._four,
            force_conflicts=self._four and not how.force,
            server_side=self._server_side(how),  # Helm 4 would go on patching what Helm 3 has patched
            timeout=_duration(how.timeout),
            reset_values=True,  # else empty values would mean "those of the last revision"
        )
        return int(answer["version"])

    async def rollback(self, *, name: str, namespace: str, revision: int, how: RunOptions) -> None:
        """Make a new revision that is a copy of `revision`. Raises HelmError."""
        extra: list[str] = []
        if self._four:
            extra = [f"--server-side={self._server_side(how)}", "--force-replace" if how.force else "--force-conflicts"]
        runner = self._runner.with_arguments(*extra, timeout=how.timeout, history_max=how.history_max)
        await runner.rollback(
            name,
            revision,
            namespace=namespace,
            force=how.force and not self._four,
            no_hooks=how.disable_hooks,
            timeout=_duration(how.timeout),
        )

    async def uninstall(self, *, name: str, namespace: str, how: RunOptions, keep_history: bool = False) -> bool:
        """Uninstall a release; returns False when there was none. Raises HelmError."""
        extra = ("--description", how.description) if how.description else ()
        try:
            await self._runner.with_arguments(*extra, timeout=how.timeout).uninstall(
                name,
                namespace=namespace,
                no_hooks=how.disable_hooks,
                keep_history=keep_history,
                timeout=_duration(how.timeout),
            )
        except ReleaseNotFound:
            return False
        return True

    async def preview(self, *, name: str, namespace: str, chart: Path, values: dict[str, Any]) -> str:
        """Return the manifest that `upgrade` would give a release; nothing is written. Raises HelmError."""
        answer = await self._runner.with_arguments("--dry-run=server", timeout=_PREVIEW_TIMEOUT).install_or_upgrade(
            name, chart, values, create_namespace=False, namespace=namespace, reset_values=True
        )
        return str(answer.get("manifest") or "")

    async def render(self, *, name: str, namespace: str, chart: Path, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the objects of a release without asking a cluster. Raises HelmError."""
        return list(await self._runner.template(name, chart, values, namespace=namespace))

    async def crds(self, *, name: str, namespace: str, chart: Path, values: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the CRDs of a chart and its enabled subcharts; `chart` has no templates. Raises HelmError."""
        return list(await self._runner.template(name, chart, values, include_crds=True, namespace=namespace))

    def _server_side(self, how: RunOptions) -> str | None:
        return ("false" if how.force else "true") if self._four else None


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


@contextlib.asynccontextmanager
async def open_helm(options: HelmOptions) -> AsyncIterator[Helm]:
    """Check that helm is there and can be used, and give it a private home. Raises ConfigError."""
    if shutil.which(options.executable) is None:
        raise ConfigError(f"helm: there is no program {options.executable!r}: install Helm 4 (or 3), or name its path")
    with tempfile.TemporaryDirectory(prefix="gateway-operator-helm-") as home:
        runner = _Runner(options, Path(home))
        try:
            version = (await runner.version()).strip().removeprefix("v")
        except (HelmError, OSError) as error:
            raise ConfigError(f"helm: {options.executable!r} does not run: {error}") from error
        if not version.startswith(("3.", "4.")):
            raise ConfigError(f"helm: {options.executable!r} is version {version!r}; Helm 4 or Helm 3 is needed")
        _log.info("helm found", version=version, path=shutil.which(options.executable))
        yield Helm(runner, version)
