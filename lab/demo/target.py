"""Where the demo runs: the lab's own cluster, or a cluster of the user's with images that it can pull."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import tools
from lab.errors import LabError


@dataclass(frozen=True)
class Target:
    """A cluster to play on: its kubeconfig, the address on which NodePorts answer, and the two images."""

    kubeconfig: Path
    node_ip: str
    image: str
    app_image: str

    def kubectl(self, *args: str, text: str | None = None, check: bool = True) -> str:
        """Run kubectl and return its output. Raises LabError with what it said."""
        return self._run([str(tools.binary("kubectl")), *args], text, check=check)

    def show(self, *args: str) -> None:
        """Run kubectl and print what it says."""
        for line in self.kubectl(*args).splitlines():
            print(f"    {line}", flush=True)

    def helm(self, *args: str) -> str:
        """Run helm and return its output. Raises LabError with what it said."""
        return self._run([str(tools.binary("helm4")), *args], None, check=True)

    def get(self, *args: str) -> dict[str, Any]:
        """Read one object; empty when it is not there."""
        answer = self.kubectl("get", *args, "-o", "json", "--ignore-not-found")
        return dict(json.loads(answer)) if answer.strip() else {}

    def items(self, *args: str) -> list[dict[str, Any]]:
        """Read the objects of a kind; kubectl says nothing at all where there are none."""
        return list(self.get(*args).get("items", []))

    def apply(self, text: str) -> None:
        """Apply manifests, and show what kubectl says."""
        for line in self.kubectl("apply", "-f", "-", text=text).splitlines():
            print(f"    {line}", flush=True)

    def wait(self, what: str, holds: Callable[[], bool], seconds: float = 240, *, pause: float = 0.5) -> float:
        """Wait until something holds, and return after how many seconds it did. Raises LabError.

        `pause` lies between two looks: a kubectl takes the processor that the pods want in order to start.
        """
        started = time.monotonic()
        while not holds():
            if time.monotonic() - started > seconds:
                look = self.hint("get mgw,ngx,pods,events -A")
                raise LabError(f"{what}: not after {seconds:.0f} s; look with: {look}")
            time.sleep(pause)
        return time.monotonic() - started

    def hint(self, command: str) -> str:
        """A kubectl line that a person can paste."""
        return f"{tools.binary('kubectl')} --kubeconfig {self.kubeconfig} {command}"

    def _run(self, command: list[str], text: str | None, *, check: bool) -> str:
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, env=env)
        if check and done.returncode:
            name = f"{Path(command[0]).name.split('-v')[0]} {' '.join(command[1:4])} ..."
            raise LabError(f"`{name}` failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def users_cluster(kubeconfig: Path) -> Target:
    """Take a cluster of the user's. Raises LabError when no image is named that it could pull."""
    if not kubeconfig.is_file():
        raise LabError(f"KUBECONFIG={kubeconfig}: no such file")
    image, app_image = os.environ.get("IMAGE", ""), os.environ.get("APP_IMAGE", "")
    if not (image and app_image):
        raise LabError(
            "a cluster of your own pulls its images: build them (Containerfile, lab/go/apps), push them where it can "
            "reach them, and say make demo KUBECONFIG=... IMAGE=<gateway-operator image> APP_IMAGE=<echo image>"
        )
    bare = Target(kubeconfig, "", image, app_image)
    nodes = bare.items("nodes")
    addresses = [a["address"] for n in nodes for a in n["status"]["addresses"] if a["type"] == "InternalIP"]
    if not addresses:
        raise LabError("no node of the cluster has an InternalIP, so its NodePorts can't be reached from here")
    return Target(kubeconfig, addresses[0], image, app_image)
