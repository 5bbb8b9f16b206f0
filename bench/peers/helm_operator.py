"""operator-sdk's helm-operator, the release engine's peer, built from a clone that somebody else made.

The binary lies in the lab's cache under a digest of the commit and the pinned modules; nothing is written to the clone.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from lab.errors import LabError
from lab.paths import cache, locked, say

NAME = "helm-operator"
_PACKAGE = "./cmd/helm-operator"


def binary(given: Path) -> Path:
    """Return a program that runs: `given` itself, or built from the clone of operator-sdk at `given`."""
    if given.is_file() and os.access(given, os.X_OK):
        return given.resolve()
    if not (given / "cmd" / NAME).is_dir():
        raise LabError(f"{given}: neither a program nor a clone of operator-sdk (it has no cmd/{NAME})")
    path = cache() / "bin" / f"{NAME}-{_digest(given)}"
    with locked(f"go-{NAME}"):
        if not path.exists():
            say(f"building {NAME} from {given} (minutes, once) ...")
            _build(given, path)
    return path


def version(given: Path) -> str:
    """Name the peer with its commit, where the clone tells it."""
    if given.is_file():
        return NAME
    asked = ["git", "-C", str(given), "describe", "--tags", "--always"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return f"{NAME} {done.stdout.strip()}".strip()


def _digest(source: Path) -> str:
    head = subprocess.run(["git", "-C", str(source), "rev-parse", "HEAD"], capture_output=True, check=False)
    return hashlib.sha256(head.stdout + (source / "go.sum").read_bytes()).hexdigest()[:8]


def _build(source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    command = ["go", "build", "-o", str(aside), _PACKAGE]
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        aside.unlink(missing_ok=True)
        raise LabError(f"`{' '.join(command)}` in {source} failed:\n{done.stderr[-4000:]}")
    aside.replace(path)
