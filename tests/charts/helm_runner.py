"""Renders charts with the real helm, and looks at what comes out as data."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).resolve().parents[2] / "charts"


class Rendered:
    """The objects of one rendering."""

    def __init__(self, text: str) -> None:
        """Take what helm printed."""
        documents = yaml.load_all(text, Loader=yaml.CSafeLoader)  # in C: a tenth of the time
        self.objects: list[dict[str, Any]] = [doc for doc in documents if doc]

    def names(self) -> set[tuple[str, str]]:
        """Return (kind, name) of every object."""
        return {(obj["kind"], obj["metadata"]["name"]) for obj in self.objects}

    def kinds(self) -> set[str]:
        """Return the kinds."""
        return {obj["kind"] for obj in self.objects}

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        return [obj for obj in self.objects if obj["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> dict[str, Any]:
        """Return the only object of a kind, or of a kind and name."""
        (found,) = [obj for obj in self.all(kind) if name in {None, obj["metadata"]["name"]}]
        return found


class Helm:
    """The helm program, for charts of this repository."""

    def __init__(self, binary: Path, home: Path) -> None:
        """Keep everything that helm writes below `home`."""
        self.binary = binary
        names = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        self._rendered: dict[str, Rendered] = {}
        self._env = {**os.environ, **{name: str(home) for name in names}, "KUBECONFIG": str(home / "none")}

    def run(self, *arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        """Run helm; values go in as JSON, which is YAML."""
        more = ["--values", "-"] if values is not None else []
        command = [str(self.binary), *arguments, *more]
        return subprocess.run(
            command, input=json.dumps(values or {}), env=self._env, capture_output=True, text=True, check=False
        )

    def render(
        self, chart: str, values: dict[str, Any] | None = None, *flags: str, name: str = "gw", namespace: str = "ns"
    ) -> Rendered:
        """Render a chart, which must succeed; the same question is put to helm once."""
        arguments = ("template", name, str(CHARTS / chart), "--namespace", namespace, *flags)
        question = json.dumps([arguments, values or {}], sort_keys=True)
        if question not in self._rendered:
            done = self.run(*arguments, values=values or {})
            assert done.returncode == 0, done.stderr
            self._rendered[question] = Rendered(done.stdout)
        return copy.deepcopy(self._rendered[question])

    def refusal(self, chart: str, values: dict[str, Any]) -> str:
        """Render a chart, which must fail, and return what helm says."""
        done = self.run("template", "gw", str(CHARTS / chart), values=values)
        assert done.returncode != 0
        return done.stderr
