"""Remove what a cluster leaves on the host, also when all of its daemons were killed and nobody kept a record.

Everything that belongs to a cluster can be told by its folder or its name: processes in its cgroup, shims that serve
its socket, mounts below its folder. Nothing else on the machine is touched.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from lab.node import cgroup_roots
from lab.paths import say

CNI_RESULTS = Path("/var/lib/cni/results")
CONTAINER_LOGS = Path("/var/log/containers")
PATIENCE = 10.0


def remove(directory: Path, name: str) -> None:
    """Remove the processes, mounts, cgroups and files of the cluster called `name` in `directory`."""
    kill_all(directory, name)
    _remove_shim_sockets(directory)
    unmount(directory)
    remove_cgroups(name)
    _remove_cni_results(name)
    _remove_log_links(directory)
    shutil.rmtree(directory, ignore_errors=True)
    if directory.exists():
        say(f"could not remove all of {directory}; still mounted: {', '.join(mounts(directory)) or 'nothing'}")


def kill_all(directory: Path, name: str) -> None:
    """Kill the cluster's containers and shims until none is left."""
    deadline = time.monotonic() + PATIENCE
    while pids := {*cgroup_pids(name), *folder_pids(directory)}:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            say(f"processes of {name} don't end: {sorted(pids)}")
            return
        time.sleep(0.05)


def cgroup_pids(name: str) -> Iterator[int]:
    """All processes in the cluster's cgroups."""
    for root in cgroup_roots():
        for file in (root / name).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                yield from map(int, file.read_text().split())


def folder_pids(directory: Path) -> Iterator[int]:
    """Daemons and shims whose arguments name the cluster's folder."""
    needle = f"{directory}/".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            arguments = (entry / "cmdline").read_bytes()
            if needle in arguments and _is_ours(arguments):
                yield int(entry.name)


def _is_ours(arguments: bytes) -> bool:
    """Whether a command line is a daemon's; an editor or a `tail` that has a log open is not."""
    program = os.path.basename(arguments.split(b"\0", 1)[0]).decode(errors="replace")  # noqa: PTH119 (bytes)
    return program.startswith(("containerd", "etcd", "kube", "runc"))


def mounts(directory: Path) -> list[str]:
    """The mount points below a folder, innermost first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point.startswith(f"{directory}/"):
            points.append(point)
    return sorted(points, key=len, reverse=True)


def unmount(directory: Path) -> None:
    """Unmount everything below a folder."""
    for point in mounts(directory):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)


def remove_cgroups(name: str) -> None:
    """Remove the cluster's cgroups; a cgroup goes only once its processes have."""
    for root in cgroup_roots():
        deadline = time.monotonic() + PATIENCE
        top = root / name
        while top.exists() and time.monotonic() < deadline:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            if top.exists():
                time.sleep(0.1)


def _remove_cni_results(name: str) -> None:
    """Remove the plugins' notes about the cluster's pods, and those about the same pods' loopback devices."""
    for file in CNI_RESULTS.glob(f"{name}-*-eth0"):
        pod = file.name.removeprefix(f"{name}-").removesuffix("-eth0")
        (CNI_RESULTS / f"cni-loopback-{pod}-lo").unlink(missing_ok=True)
        file.unlink(missing_ok=True)


def _remove_shim_sockets(directory: Path) -> None:
    for file in directory.glob("containerd/state/io.containerd.runtime.v2.task/*/*/address"):
        with contextlib.suppress(OSError):
            Path(file.read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)


def _remove_log_links(directory: Path) -> None:
    if not CONTAINER_LOGS.is_dir():
        return
    for link in CONTAINER_LOGS.iterdir():
        if link.is_symlink() and str(link.readlink()).startswith(f"{directory}/"):
            link.unlink(missing_ok=True)
