"""Build the images that pods of the lab run, with no image registry: from a Debian root file system or from scratch.

An image's tag is a digest of everything that goes in, so a build is skipped when nothing changed and a cluster never
runs an old image under a new name. Archives lie in the cache; clusters import them.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lab import dns, tools
from lab.debian import FOR_IMAGES, KEY, SUITE, base_root, require
from lab.errors import LabError
from lab.node import PAUSE
from lab.paths import CHECKOUT, cache, locked, say
from lab.process import run

BASE = f"localhost/base:{KEY}"
ECHO = "localhost/echo:1"
PROJECT = "localhost/gateway-operator"
INPUTS = (
    "Containerfile",
    ".containerignore",
    "LICENSE",
    "README.md",
    "charts",
    "gateway_operator",
    "pyproject.toml",
    "requirements.lock",
    "watches.yaml",
)
KEPT_BUILDS = 4
HOST_CA = Path("/etc/ssl/certs/ca-certificates.crt")
BUILD_CA = "/run/host-ca.crt"
PIP_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
# what a base image doesn't need: lists and caches of apt, manuals, translations
SLIM = ("var/lib/apt/lists/*", "var/cache/*", "var/log/*", "usr/share/man", "usr/share/info", "usr/share/locale/*")
DEVICES = ("proc/*", "sys/*", "dev/*", "run/*", "tmp/*", "etc/resolv.conf", "etc/hostname")


@dataclass(frozen=True)
class Image:
    """A built image: the name that pods use and the archive that clusters import."""

    name: str
    archive: Path


def image() -> Image:
    """The project's image as the checkout has it now, built if need be."""
    name = f"{PROJECT}:{project_digest()[:12]}"
    built = _built(name, lambda archive: _build_project(name, archive))
    _prune(built.archive)
    return built


def system_images() -> list[Image]:
    """The images that every cluster has: pause, cluster DNS and the echo application."""
    programs = {PAUSE: "pause", dns.image_name(): "coredns", ECHO: "echo"}
    tools.binaries(programs.values())
    return [_static(name, program) for name, program in programs.items()]


def project_digest() -> str:
    """A digest of everything that goes into the project's image."""
    digest = hashlib.sha256()
    for file in _files(CHECKOUT / name for name in INPUTS):
        digest.update(f"{file.relative_to(CHECKOUT)}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    digest.update(f"{BASE}\0{tools.binary('helm4').name}".encode())
    return digest.hexdigest()


def _files(roots: Iterable[Path]) -> list[Path]:
    found = []
    for root in roots:
        inside = [root] if root.is_file() else root.rglob("*")
        found += [file for file in inside if file.is_file() and "__pycache__" not in file.parts]
    return sorted(found)


def _built(name: str, build: Callable[[Path], None]) -> Image:
    archive = cache() / "images" / f"{name.replace('/', '_').replace(':', '-')}.tar"
    if not archive.exists():
        require(FOR_IMAGES)
        with locked("images"):
            if not archive.exists():
                say(f"building the image {name} ...")
                archive.parent.mkdir(parents=True, exist_ok=True)
                aside = archive.with_name(f".{archive.name}.partial")
                aside.unlink(missing_ok=True)
                build(aside)
                aside.replace(archive)
    return Image(name, archive)


def _prune(current: Path) -> None:
    """Forget all but the newest few builds of the project's image: each takes 400 MB."""
    prefix = current.name.rpartition("-")[0]
    with locked("images"):  # others prune, too
        current.touch()
        archives = sorted(current.parent.glob(f"{prefix}-*.tar"), key=lambda file: file.stat().st_mtime)
        for old in archives[:-KEPT_BUILDS]:
            old.unlink(missing_ok=True)
            _buildah_quiet("rmi", f"{PROJECT}:{old.stem.rpartition('-')[2]}")


def _static(name: str, program: str) -> Image:
    path = tools.binary(program)
    # a binary's file name has the digest of its source: pods keep the plain name, the archive is made anew
    plain = _built(f"{name}-{path.name.rpartition('-')[2]}", lambda archive: _build_static(name, path, archive))
    return Image(name, plain.archive)


def _build_static(name: str, program: Path, archive: Path) -> None:
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        shutil.copy2(program, Path(folder) / "app")
        file = Path(folder) / "Containerfile"
        file.write_text('FROM scratch\nCOPY app /app\nUSER 65532:65532\nENTRYPOINT ["/app"]\n')
        if name == dns.image_name():  # it listens on port 53
            file.write_text('FROM scratch\nCOPY app /app\nENTRYPOINT ["/app"]\n')
        buildah("build", "--file", str(file), "--tag", name, folder)
    push(name, archive)


def _build_project(name: str, archive: Path) -> None:
    _base_image()
    with tempfile.TemporaryDirectory(dir=archive.parent) as helm:
        shutil.copy2(tools.binary("helm4"), Path(helm) / "helm")
        os.utime(Path(helm) / "helm", (0, 0))  # layers are kept by content and time
        options = ["--layers", "--isolation=chroot", f"--build-arg=BASE={BASE}", f"--build-context=tools={helm}"]
        options += [*_registry_settings(), f"--file={CHECKOUT / 'Containerfile'}"]
        options += [f"--ignorefile={CHECKOUT / '.containerignore'}"]
        # a name for the slow stage, so that clearing away what has none doesn't cost its layers
        buildah("build", *options, "--target=dependencies", f"--tag={PROJECT}-dependencies:current", str(CHECKOUT))
        buildah("build", *options, f"--tag={name}", str(CHECKOUT))
    _buildah_quiet("rmi", "--prune")
    push(name, archive)


def _registry_settings() -> list[str]:
    """The host's own ways to package registries, which the image must not keep."""
    settings = [f"--build-arg={name}={os.environ[name]}" for name in PIP_SETTINGS if name in os.environ]
    if HOST_CA.exists():
        settings += [f"--volume={HOST_CA}:{BUILD_CA}:ro", f"--build-arg=PIP_CERT={BUILD_CA}"]
    return settings


def _base_image() -> None:
    if _buildah_quiet("inspect", "--type=image", BASE):
        return
    root = base_root()
    say(f"importing Debian {SUITE} as {BASE} ...")
    with tempfile.TemporaryDirectory(dir=cache() / "images") as folder:
        excluded = [f"--exclude=./{pattern}" for pattern in (*SLIM, *DEVICES)]
        run(["tar", "-C", root, *excluded, "-cf", Path(folder) / "base.tar", "."])
        file = Path(folder) / "Containerfile"
        file.write_text('FROM scratch\nADD base.tar /\nCMD ["/bin/sh"]\n')
        buildah("build", "--file", str(file), "--tag", BASE, folder)


def push(name: str, archive: Path) -> None:
    """Write an image to an archive."""
    buildah("push", name, f"docker-archive:{archive}:{name}")


def buildah(*args: str) -> None:
    """Run buildah on the lab's own storage."""
    done = subprocess.run(
        [*_buildah(), *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"`buildah {' '.join(args)}` failed:\n{done.stdout[-4000:]}")


def _buildah_quiet(*args: str) -> bool:
    return subprocess.run([*_buildah(), *args], capture_output=True, check=False).returncode == 0


def _buildah() -> list[str]:
    storage = cache() / "containers"
    return ["buildah", f"--root={storage / 'root'}", f"--runroot={storage / 'run'}", "--storage-driver=overlay"]
