"""Get what only Debian has: host packages for the larger lab, and root file systems of the image's release.

The image is built from Debian's stable release with its security updates; a root file system made by debootstrap
serves as its base, where no image registry is reachable, and gives the host the very nginx of the image (`lab.nginx`).
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError
from lab.paths import cache, locked, say

SUITE = "trixie"
# A later date makes caches anew, with the security updates of then: `tests/lab` says when the nginx in them is too old.
AS_OF = "2026-11-22"
KEY = f"{SUITE}-{AS_OF}"
MIRROR = "http://deb.debian.org"
SOURCES = f"""\
deb {MIRROR}/debian {SUITE} main
deb {MIRROR}/debian-security {SUITE}-security main
"""
POLICY = Path("/usr/sbin/policy-rc.d")
NO_SERVICES = "#!/bin/sh\nexit 101\n"

# program on PATH (or a file) → the package that has it
FOR_BASE = {"debootstrap": "debootstrap"}
FOR_IMAGES = {**FOR_BASE, "buildah": "buildah"}
FOR_NODES = {
    **FOR_IMAGES,
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ipset": "ipset",
    "ip": "iproute2",
    "nsenter": "util-linux",
}


def require(programs: Mapping[str, str]) -> None:
    """Make sure that programs are installed: with apt where that is possible, else by telling how."""
    lacking = sorted({package for program, package in programs.items() if not _present(program)})
    if not lacking:
        return
    command = f"apt-get install --no-install-recommends {' '.join(lacking)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise LabError(f"missing Debian packages: {', '.join(lacking)}. Install them as root: {command}")
    with locked("apt"):
        say(f"installing Debian packages: {' '.join(lacking)} ...")
        _install(lacking)


def _present(program: str) -> bool:
    return bool(shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"))


def _install(packages: list[str]) -> None:
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    with no_services(Path("/")):
        if _apt(command).returncode == 0:
            return
        _apt(["apt-get", "update", "-q"])  # the lists may be old or absent
        done = _apt(command)
    if done.returncode:
        raise LabError(f"`{' '.join(command)}` failed:\n{done.stdout[-2000:]}")


def _apt(command: list[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@contextmanager
def no_services(root: Path) -> Iterator[None]:
    """Keep packages from starting their services while they are installed below `root`."""
    policy = root / POLICY.relative_to("/")
    ours = not policy.exists()
    if ours:
        policy.write_text(NO_SERVICES)
        policy.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            policy.unlink(missing_ok=True)


def base_root() -> Path:
    """The root file system of a minimal Debian with its security updates, as made by debootstrap."""
    root = cache() / "rootfs" / f"base-{KEY}"
    if root.exists():
        return root
    _need_root("a Debian root file system")
    require(FOR_BASE)
    with locked("rootfs-base"):
        if not root.exists():
            say(f"making a root file system of Debian {SUITE} (about a minute) ...")
            _aside(root, _bootstrap)
    return root


def derived_root(name: str, packages: list[str]) -> Path:
    """A copy of the base root file system with more packages in it."""
    root = cache() / "rootfs" / f"{name}-{KEY}"
    if root.exists():
        return root
    base = base_root()
    with locked(f"rootfs-{name}"):
        if not root.exists():
            say(f"installing {' '.join(packages)} in a copy of Debian {SUITE} ...")
            _aside(root, lambda aside: _derive(base, aside, packages))
    return root


def _bootstrap(aside: Path) -> None:
    _run(["debootstrap", "--variant=minbase", SUITE, str(aside), f"{MIRROR}/debian"])
    (aside / "etc/apt/sources.list").write_text(SOURCES)
    with no_services(aside):
        _update(aside)
        _run([*_apt_in(aside), "dist-upgrade", "-y", "-q"])


def _derive(base: Path, aside: Path, packages: list[str]) -> None:
    _run(["cp", "-a", str(base), str(aside)])
    with no_services(aside):
        _update(aside)
        _run([*_apt_in(aside), "install", "-y", "-q", "--no-install-recommends", *packages])


def _update(aside: Path) -> None:
    """Read all lists or fail: without the security suite, apt would go on and install what has known holes."""
    shutil.copy("/etc/resolv.conf", aside / "etc/resolv.conf")
    try:
        _run([*_apt_in(aside), "update", "-q", "-o", "APT::Update::Error-Mode=any"])
    except LabError as error:
        raise LabError(f"Debian's packages or their security updates can't be reached at {MIRROR}: {error}") from error


def _apt_in(root: Path) -> list[str]:
    path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
    return ["chroot", str(root), "env", "DEBIAN_FRONTEND=noninteractive", path, "apt-get"]


def _aside(target: Path, make: Callable[[Path], None]) -> None:
    """Make a folder beside its place and move it there when complete, so that an interrupted run leaves no half one."""
    aside = target.with_name(f".{target.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    make(aside)
    aside.rename(target)


def _run(command: list[str]) -> None:
    done = _apt(command)
    if done.returncode:
        raise LabError(f"`{' '.join(command)}` failed:\n{done.stdout[-2000:]}")


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise LabError(f"making {what} needs root: run this once as root (`python -m lab build`)")
