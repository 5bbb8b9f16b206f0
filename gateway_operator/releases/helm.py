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
_HARD_LIMIT = 30.0  # beyond helm's own timeout
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
        self._extra: tuple[str, ...] = ()

    def with_arguments(self, *extra: str) -> _Runner:
        """Return a runner that adds `extra` to its command: what pyhelm3 has no parameter for."""
        other = copy.copy(self)
        other._extra = extra  # noqa: SLF001
        return other

    async def run(self, command: list[Any], input: bytes | None = None) -> bytes:  # noqa: A002 - pyhelm3's name
        """Run one command; raises HelmError."""
        verb = str(command[0])
        arguments = [*map(str, command), *self._extra]
        async with self._slots:
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
            process_group=0,
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
            await asyncio.wait_for(process.wait(), _TERM_GRACE)


class Helm:
    """What the engine asks of helm."""

    def __init__(self, runner: _Runner, version: str) -> None:
        self._runner = runner
        self.version = version
        self._four = not version.startswith("3.")

    async def upgrade(
        self,
        *,
        name: str,
        namespace: str,
        chart: Path,
        values: dict[str, Any],
        labels: dict[str, str],
        disable_hooks: bool = False,
    ) -> int:
        """Install or upgrade a release and return its revision. Raises HelmError.

        Helm 4 forces conflicts: the chart is what its owner asked for, and Helm 3's merge wins over others as well.
        """
        runner = self._runner.with_arguments("--labels", ",".join(f"{k}={v}" for k, v in sorted(labels.items())))
        answer = await runner.install_or_upgrade(
            name,
            chart,
            values,
            create_namespace=False,
            namespace=namespace,
            no_hooks=disable_hooks,
            force_conflicts=self._four,
            reset_values=True,  # else empty values would mean "those of the last revision"
        )
        return int(answer["version"])

    async def uninstall(self, *, name: str, namespace: str, disable_hooks: bool = False) -> bool:
        """Uninstall a release; returns False when there was none. Raises HelmError."""
        try:
            await self._runner.uninstall(name, namespace=namespace, no_hooks=disable_hooks)
        except ReleaseNotFound:
            return False
        return True


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
