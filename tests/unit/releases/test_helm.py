"""How helm is run: arguments, environment, and its end.

A script stands in for helm; the real one is in tests/apiserver.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway_operator.errors import ConfigError
from gateway_operator.releases.helm import HelmOptions, RunOptions, open_helm
from gateway_operator.releases.helm_errors import HelmTimeout, RenderFailed

SCRIPT = """#!{python}
import json, os, signal, sys, time
here = {here!r}
if sys.argv[1] == "version":
    print({version!r}, end="")
    sys.exit()
said = dict(argv=sys.argv[1:], env=dict(os.environ), stdin=sys.stdin.read() if not sys.stdin.isatty() else "",
            pid=os.getpid(), pgid=os.getpgid(0))
with open(here + "/said", "w") as f:
    json.dump(said, f)
os.rename(here + "/said", here + "/done")
{body}
print(json.dumps(dict(version=3)))
"""


@pytest.fixture
def fake(tmp_path):
    """Write a helm that notes how it is called, then does `body`."""

    def write(body="", *, version="v4.3.1"):
        file = tmp_path / "helm"
        file.write_text(SCRIPT.format(python=sys.executable, here=str(tmp_path), body=body, version=version))
        file.chmod(0o755)
        return HelmOptions(executable=str(file), kubeconfig=Path("/kc"), timeout=0.5, history_max=7)

    write.folder = tmp_path
    return write


def said(fake):
    """What the last helm noted."""
    return json.loads((fake.folder / "done").read_text())


async def upgrade(helm, **how):
    """Upgrade with a secret value."""
    return await helm.upgrade(
        name="web",
        namespace="ns",
        chart=Path("/chart"),
        values={"password": "hunter2"},
        labels={"b": "2", "a": "1"},
        how=RunOptions(**{"timeout": 0.5, **how}),
    )


async def test_upgrade_passes_everything_but_values_by_argument(fake, monkeypatch):
    """Values by stdin, credentials by file, nobody's HELM_ variables, never a new namespace."""
    monkeypatch.setenv("HELM_PLUGINS", "/evil")
    async with open_helm(fake()) as helm:
        assert await upgrade(helm) == 3
    call = said(fake)
    argv = " ".join(call["argv"])
    assert argv.startswith("upgrade web /chart --history-max 7 --install --output json --timeout 500ms --values -")
    assert "--labels a=1,b=2" in argv
    assert "--namespace ns" in argv
    assert "--force-conflicts" in argv
    assert "--reset-values" in argv
    assert "--create-namespace" not in argv
    assert "hunter2" not in argv
    assert json.loads(call["stdin"]) == {"password": "hunter2"}
    assert call["env"]["KUBECONFIG"] == "/kc"
    assert "HELM_PLUGINS" not in call["env"]
    assert call["pgid"] == call["pid"]
    assert not Path(call["env"]["HELM_CACHE_HOME"]).exists()  # the private home went with the engine


FLAGS = {"--force", "--force-replace", "--force-conflicts", "--server-side=true", "--server-side=false"}


@pytest.mark.parametrize(
    ("version", "force", "expected"),
    [
        ("v4.3.1", False, {"--force-conflicts", "--server-side=true"}),
        ("v4.3.1", True, {"--force-replace", "--server-side=false"}),
        ("v3.22.0", False, set()),
        ("v3.22.0", True, {"--force"}),
    ],
)
async def test_force_is_what_the_version_calls_it(fake, version, force, expected):
    """Upgrade and rollback; Helm 3 would refuse the flags of Helm 4."""
    async with open_helm(fake(version=version)) as helm:
        await upgrade(helm, force=force)
        assert FLAGS & set(said(fake)["argv"]) == expected
        await helm.rollback(name="web", namespace="ns", revision=3, how=RunOptions(timeout=2, force=force))
        argv = said(fake)["argv"]
        assert argv[:3] == ["rollback", "web", "3"]
        assert FLAGS & set(argv) == expected


async def test_validation_is_the_servers_where_it_applies(fake):
    """Helm 4 asks the API server to be strict; Helm 3 has to look itself."""
    async with open_helm(fake()) as helm:
        await upgrade(helm)
    assert "--disable-openapi-validation" in said(fake)["argv"]
    async with open_helm(fake(version="v3.22.0")) as helm:
        await upgrade(helm)
    assert "--disable-openapi-validation" not in said(fake)["argv"]


async def test_options_of_a_run(fake):
    """Hooks, description, CRDs and kept history."""
    how = RunOptions(timeout=1, disable_hooks=True, description="because", skip_crds=True)
    async with open_helm(fake()) as helm:
        await upgrade(helm, disable_hooks=True, description="because", skip_crds=True)
        argv = " ".join(said(fake)["argv"])
        assert "--no-hooks" in argv
        assert "--description because" in argv
        assert "--skip-crds" in argv
        await helm.uninstall(name="web", namespace="ns", how=how, keep_history=True)
        argv = " ".join(said(fake)["argv"])
        assert "--keep-history" in argv
        assert "--no-hooks" in argv
        assert "--description because" in argv


async def test_errors_are_classified(fake):
    """Exit code and stderr become one of our errors."""
    async with open_helm(fake('sys.exit("Error: execution error at (a.yaml:1): no")')) as helm:
        with pytest.raises(RenderFailed, match="no"):
            await upgrade(helm)


async def test_uninstall_of_nothing_is_fine(fake):
    """What is gone is uninstalled."""
    async with open_helm(fake('sys.exit("Error: uninstall: Release not loaded: web: release: not found")')) as helm:
        assert await helm.uninstall(name="web", namespace="ns", how=RunOptions(timeout=1)) is False


def gone(pid):
    """Wait for the end of a process."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.03)
    return False


@pytest.mark.parametrize("body", ["time.sleep(600)", "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"])
async def test_cancelled_run_ends_its_process(fake, monkeypatch, body):
    """Politely first; one that doesn't listen is killed."""
    monkeypatch.setattr("gateway_operator.releases.helm._TERM_GRACE", 0.3)
    async with open_helm(fake(body)) as helm:
        task = asyncio.create_task(upgrade(helm))
        while not (fake.folder / "done").exists():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert gone(said(fake)["pid"])


async def test_run_without_end_is_stopped(fake, monkeypatch):
    """A helm that hangs can't hold its place for ever."""
    async with open_helm(fake("time.sleep(600)")) as helm:
        monkeypatch.setattr("gateway_operator.releases.helm._HARD_LIMIT", 0.0)
        with pytest.raises(HelmTimeout):
            await upgrade(helm)
    assert not running(fake.folder / "helm")


def running(program):
    """The command lines of processes that run a program, which may have had no time to tell its pid."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_bytes().decode(errors="replace").split("\0"))
    return [line for line in found if str(program) in line]


PARENT = """
import asyncio, sys
from pathlib import Path
from gateway_operator.releases.helm import HelmOptions, RunOptions, open_helm

async def main():
    async with open_helm(HelmOptions(executable=sys.argv[1], timeout=600)) as helm:
        await helm.uninstall(name="web", namespace="ns", how=RunOptions(timeout=600))

asyncio.run(main())
"""


def test_helm_dies_with_a_killed_operator(fake):
    """SIGKILL leaves no time to clean up; the kernel does it."""
    options = fake("time.sleep(600)")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, options.executable])
    try:
        while not (fake.folder / "done").exists():
            assert parent.poll() is None
            time.sleep(0.02)
        child = said(fake)["pid"]
        os.kill(parent.pid, signal.SIGKILL)
    finally:
        parent.kill()
        parent.wait()
    assert gone(child)


async def test_missing_and_foreign_programs_are_config_errors(fake):
    """At start, with what to do."""
    with pytest.raises(ConfigError, match="there is no program"):
        async with open_helm(HelmOptions(executable="no-such-helm")):
            pass
    with pytest.raises(ConfigError, match="Helm 4 or Helm 3 is needed"):
        async with open_helm(fake(version="v2.17.0")):
            pass
