"""A chart as the engine needs to know it: loaded once, checked, and known by a digest of its content.

The version in Chart.yaml is no key: people edit templates without raising it. And because they edit while helm runs,
helm never reads their files: each content that was digested is kept as a snapshot, for as long as anybody uses it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # pure Python takes ten times as long
_MAX_FILE = 5 * 1024 * 1024  # as in Helm
_CRD_FILE = re.compile(r"(charts/[^/]+/)*crds/.+\.(yaml|yml|json)")
_PACKED = re.compile(r"(charts/[^/]+/)*charts/[^/]+\.(tgz|tar\.gz)")


class ChartError(ValueError):
    """A chart that Helm could not install; the message says what to do."""


@dataclass(frozen=True)
class Chart:
    """A loaded chart."""

    path: Path
    name: str
    version: str
    digest: str
    values: dict[str, Any] = field(hash=False, default_factory=dict)
    crds: tuple[str, ...] = ()  # files below crds/, those of subcharts too
    size: int = 0  # bytes of all files
    packed: bool = False  # has subcharts in archives, which may hold CRDs as well

    @property
    def label(self) -> str:
        """Return `name-version`, as Helm writes it."""
        return f"{self.name}-{self.version}"

    @property
    def short_digest(self) -> str:
        """Return the digest cut to a label's length."""
        return self.digest[:40]


class Snapshots:
    """Private copies of charts below one folder; a copy goes with the last `Chart` that speaks of it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._charts: weakref.WeakValueDictionary[str, Chart] = weakref.WeakValueDictionary()

    def keep(self, chart: Chart, files: dict[str, bytes]) -> Chart:
        """Return `chart` with the path of its snapshot; the same content is kept once."""
        if known := self._charts.get(chart.digest):
            return known
        folder = Path(tempfile.mkdtemp(prefix=f"{chart.digest[:16]}-", dir=self._root))
        for name, content in files.items():
            file = folder / "chart" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        kept = replace(chart, path=folder / "chart")
        weakref.finalize(kept, shutil.rmtree, folder, ignore_errors=True)
        self._charts[chart.digest] = kept
        return kept


def load_chart(path: Path, snapshots: Snapshots | None = None) -> Chart:
    """Read and check the chart at `path`, a directory or a .tgz; with `snapshots`, helm gets the copy.

    Raises ChartError.
    """
    files = _read(path)
    meta = _yaml(files, "Chart.yaml")
    name, version = meta.get("name"), meta.get("version")
    if meta.get("apiVersion") not in {"v1", "v2"}:
        raise ChartError("Chart.yaml: apiVersion must be v1 or v2")
    if not isinstance(name, str) or not isinstance(version, str) or not name or not version:
        raise ChartError("Chart.yaml: name and version must be set, the version in quotes where it looks like a number")
    if meta.get("type") == "library":
        raise ChartError(f"Chart.yaml: {name} is a library chart, which Helm can't install; name an application chart")
    _check_dependencies(files, meta)
    values = _yaml(files, "values.yaml") if "values.yaml" in files else {}
    chart = Chart(
        path=path,
        name=name,
        version=version,
        digest=_digest(files),
        values=values,
        crds=tuple(sorted(f for f in files if _CRD_FILE.fullmatch(f))),
        size=sum(map(len, files.values())),
        packed=any(_PACKED.fullmatch(f) for f in files),
    )
    return snapshots.keep(chart, files) if snapshots else chart


def chart_files(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name inside the chart, file) of a directory; links are followed, as Helm does.

    Names that begin with two dots are what Kubernetes puts into a mounted ConfigMap besides its files.
    """
    for entry in entries(path):
        file = Path(entry.path)
        yield file.relative_to(path).as_posix(), file


def entries(path: Path | str) -> Iterator[os.DirEntry[str]]:
    """Yield the same files as the kernel lists them: this is asked again and again."""
    try:
        with os.scandir(path) as found:
            listed = sorted((entry for entry in found if not entry.name.startswith("..")), key=lambda entry: entry.name)
    except OSError:  # it is gone meanwhile, or not for us to read
        return
    folders = []
    for entry in listed:
        if not entry.is_dir():
            yield entry
        elif not (entry.is_symlink() and _leads_up(Path(entry.path))):
            folders.append(entry.path)
    for folder in folders:
        yield from entries(folder)


def _leads_up(link: Path) -> bool:
    """Tell whether a link leads to a folder that it is in; only links do."""
    return link.resolve() in {parent.resolve() for parent in link.parents}


def _read(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        files = _read_directory(path)
    elif path.is_file():
        files = _read_archive(path)
    else:
        raise ChartError("there is neither a directory nor a .tgz file")
    if "Chart.yaml" not in files:
        raise ChartError("has no Chart.yaml: name the directory (or .tgz) of a chart")
    return files


def _read_directory(root: Path) -> dict[str, bytes]:
    ignore = _Ignore((root / ".helmignore").read_text(encoding="utf-8") if (root / ".helmignore").is_file() else "")
    files: dict[str, bytes] = {}
    try:
        for name, file in chart_files(root):
            if file.is_file() and not ignore.matches(name):
                _check_size(name, file.stat().st_size)
                files[name] = file.read_bytes()
    except OSError as error:
        raise ChartError(f"can't be read: {error}") from error
    return files


def _read_archive(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                parts = PurePosixPath(member.name).parts[1:]
                if ".." in parts:
                    raise ChartError(f"holds {member.name}, which points out of the chart")
                if stream and parts:
                    name = "/".join(parts)
                    _check_size(name, member.size)
                    files[name] = stream.read()
    except (OSError, tarfile.TarError) as error:
        raise ChartError(f"can't be read as a .tgz: {error}") from error
    return files


def _check_size(name: str, size: int) -> None:
    """Refuse what Helm refuses. Raises ChartError."""
    if size > _MAX_FILE:
        raise ChartError(f"{name} is bigger than {_MAX_FILE} bytes, which Helm refuses: name it in .helmignore")


def _yaml(files: dict[str, bytes], name: str) -> dict[str, Any]:
    try:
        loaded = yaml.load(files[name], Loader=_Loader)  # noqa: S506 - a SafeLoader, the fast one where there is one
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ChartError(f"{name} is no valid YAML: {' '.join(str(error).split())}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ChartError(f"{name} must be a map")
    return loaded


def _check_dependencies(files: dict[str, bytes], meta: dict[str, Any]) -> None:
    wanted = meta.get("dependencies") or (
        _yaml(files, "requirements.yaml") if "requirements.yaml" in files else {}
    ).get("dependencies")
    if not isinstance(wanted or [], list):
        raise ChartError("Chart.yaml: dependencies must be a list")
    vendored = {PurePosixPath(f).parts[1] for f in files if f.startswith("charts/")}
    missing = [
        str(d.get("name"))
        for d in wanted or []
        if isinstance(d, dict) and not any(v == d.get("name") or v.startswith(f"{d.get('name')}-") for v in vendored)
    ]
    if missing:
        raise ChartError(f"lacks its dependencies {', '.join(missing)}: run `helm dependency build` on it")


def _digest(files: dict[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return total.hexdigest()


class _Ignore:
    """The rules of a .helmignore file; the last one that matches decides."""

    def __init__(self, text: str) -> None:
        self._rules = [r for line in text.splitlines() if (r := line.strip()) and not r.startswith("#")]

    def matches(self, name: str) -> bool:
        parts = PurePosixPath(name).parts
        return any(self._ignored("/".join(parts[:n]), is_dir=n < len(parts)) for n in range(1, len(parts) + 1))

    def _ignored(self, name: str, *, is_dir: bool) -> bool:
        ignored = False
        for rule in self._rules:
            pattern = rule.removeprefix("!")
            if pattern.endswith("/") and not is_dir:
                continue
            pattern = pattern.rstrip("/")
            subject = name if "/" in pattern else name.rpartition("/")[2]
            if fnmatch.fnmatchcase(subject, pattern.removeprefix("/")):
                ignored = not rule.startswith("!")
        return ignored
