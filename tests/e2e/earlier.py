"""The operator as it was before, so that a test can upgrade it.

No release is tagged yet. The last state of the operator before its release engine was written stands in for one; with
the first tag, the tag's name goes into `COMMIT`. Chart, CRDs and program come from git. The program runs on the
packages and libraries of today's image, whose lock file is the same; that saves building them once more.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import images
from lab.demo.objects import ROOT

COMMIT = "38fca76338393f58d002f1123a4085fa55f687fd"
PARTS = ("charts", "gateway_operator", "watches.yaml")
CONTAINERFILE = """\
FROM {base}
USER 0
RUN rm -rf /opt/gateway-operator
COPY gateway_operator /opt/earlier/gateway_operator
COPY charts /opt/gateway-operator/charts
COPY watches.yaml /opt/gateway-operator/watches.yaml
ENV PYTHONPATH=/opt/earlier
USER 10001:101
"""


@dataclass(frozen=True)
class Earlier:
    """An earlier operator: its chart, and the image with its program and its charts."""

    chart: Path
    image: images.Image


def earlier(folder: Path) -> Earlier:
    """Unpack and build the earlier operator in `folder`. Skips the test where the clone's history is too short."""
    packed = folder / "earlier.tar"
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "archive", f"--output={packed}", COMMIT, *PARTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"git has no {COMMIT[:8]} here: {done.stderr.strip()}")
    source = folder / "earlier"
    shutil.unpack_archive(packed, source, filter="data")
    name = f"localhost/earlier/gateway-operator:{COMMIT[:12]}"  # by its last part charts know an image of ours
    base = images.image()  # before, since both are built under the same lock
    built = images._built(name, lambda to: _build(name, base, source, to))
    return Earlier(source / "charts" / "gateway-operator", built)


def _build(name: str, base: images.Image, source: Path, archive: Path) -> None:
    images.buildah("pull", "--quiet", f"docker-archive:{base.archive}")  # gone where only the archives were kept
    file = source / "Containerfile"
    file.write_text(CONTAINERFILE.format(base=base.name))
    images.buildah("build", "--isolation=chroot", f"--file={file}", f"--tag={name}", str(source))
    images.push(name, archive)
