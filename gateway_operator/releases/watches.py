"""Reads watches.yaml, the file that maps kinds to charts, in the format of the Helm operator.

A mistake in it must show at once and all of them together: every problem names the row, the field and what to do.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from gateway_operator.errors import ConfigError
from gateway_operator.releases.chart import Chart, ChartError, Snapshots, load_chart
from gateway_operator.releases.drift_rules import DriftPolicy, IgnoreRule, parse_ignore_rules, parse_policy
from gateway_operator.releases.durations import parse_duration
from gateway_operator.releases.selectors import parse_selector
from gateway_operator.releases.setpaths import expand_env, parse_path, typed
from gateway_operator.releases.templates import render
from gateway_operator.releases.values import Override

FIELDS = (
    "group",
    "version",
    "kind",
    "chart",
    "overrideValues",
    "watchDependentResources",
    "reconcilePeriod",
    "maxConcurrentReconciles",
    "selector",
    "dryRunOption",
    "driftPolicy",
    "ignoreRules",
    "crdPolicy",
    "timeout",
)
_T = TypeVar("_T")
_DRY_RUN = ("", "none", "client", "server")
CRD_POLICIES = ("Skip", "Create", "CreateReplace")
_VERSION = re.compile(r"v\d+((alpha|beta)\d+)?")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]*")


@dataclass(frozen=True)
class Watch:
    """One row of watches.yaml."""

    group: str
    version: str
    kind: str
    chart: Chart
    overrides: tuple[Override, ...] = ()
    watch_dependent_resources: bool = True
    reconcile_period: float | None = None  # None: the operator's default; 0: no periodic pass
    max_concurrent_reconciles: int | None = None
    selector: str = ""
    dry_run_option: str = ""
    drift_policy: DriftPolicy = DriftPolicy.REVERT
    ignore_rules: tuple[IgnoreRule, ...] = ()
    crd_policy: str = "Create"  # Skip, Create (Helm's way: at the first install) or CreateReplace
    timeout: float | None = None  # seconds that one helm run may take; None: the operator's default

    @property
    def api_version(self) -> str:
        """Return `group/version`, or `version` alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> tuple[str, str]:
        """Return (group, kind), of which there is one row at most."""
        return self.group, self.kind

    def __str__(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind


def load_watches(
    file: Path, env: Mapping[str, str] = os.environ, snapshots: Snapshots | None = None
) -> tuple[Watch, ...]:
    """Read and check `file`; with `snapshots`, the charts are private copies. Raises ConfigError: every problem."""
    rows = _rows(file)
    problems: list[str] = []
    watches: list[Watch] = []
    seen: dict[tuple[Any, Any], int] = {}
    for number, row in enumerate(rows, start=1):
        reader = _Row(row, file.parent, env, snapshots)
        watch = reader.watch()
        where = f"{file}: row {number}" + (f" ({row['kind']})" if isinstance(row, dict) and row.get("kind") else "")
        if reader.identity and (first := seen.setdefault(reader.identity, number)) != number:
            reader.problems.append(f"kind: row {first} has this group and kind already; remove one of them")
        problems.extend(f"{where}: {problem}" for problem in reader.problems)
        if watch:
            watches.append(watch)
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(watches)


def chart_paths(file: Path, env: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return the paths of all charts that `file` names, whatever else is wrong with it."""
    found: dict[Path, None] = {}
    try:
        for row in _rows(file):
            if isinstance(row, dict) and isinstance(row.get("chart"), str):
                found[(file.parent / expand_env(row["chart"], env)).resolve()] = None
    except (ConfigError, ValueError):
        pass
    return tuple(found)


def _rows(file: Path) -> list[Any]:
    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: can't be read: {error}; set gateway.watchesPath to a readable file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: is no valid YAML: {' '.join(str(error).split())}") from error
    if loaded is None:
        return []
    if not isinstance(loaded, list):
        raise ConfigError(f"{file}: must be a list of rows (`- group: ...`), not {type(loaded).__name__}")
    return loaded


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key, FIELDS, n=1, cutoff=0.7)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(FIELDS)}"
    return f"{key}: no such field; {meant} (other Helm operators pass over it in silence: remove it)"


class _Row:
    """Reads one row; collects problems instead of stopping at the first."""

    def __init__(self, row: Any, folder: Path, env: Mapping[str, str], snapshots: Snapshots | None) -> None:
        self._row: dict[str, Any] = row if isinstance(row, dict) else {}
        self._folder = folder
        self._env = env
        self._snapshots = snapshots
        self.problems: list[str] = [] if isinstance(row, dict) else ["must be a map with version, kind and chart"]
        self.identity: tuple[str, str] | None = None

    def watch(self) -> Watch | None:
        if self.problems:
            return None
        for key in self._row:
            if key not in FIELDS:
                self.problems.append(_unknown(str(key)))
        group = self._text("group", optional=True)
        kind = self._text("kind", pattern=_KIND)
        version = self._text("version", pattern=_VERSION)
        if kind:
            self.identity = (group, kind)
        chart = self._chart()
        overrides = self._overrides()
        dependents = self._boolean("watchDependentResources", default=True)
        period = self._period()
        workers = self._workers()
        selector = self._parsed("selector", parse_selector, "")
        dry_run = self._text("dryRunOption", optional=True)
        if dry_run not in _DRY_RUN:
            self.problems.append(f"dryRunOption: must be none, client or server, not {dry_run!r}")
        drift = self._parsed("driftPolicy", parse_policy, DriftPolicy.REVERT)
        rules = self._parsed("ignoreRules", parse_ignore_rules, tuple[IgnoreRule, ...]())
        crds = self._text("crdPolicy", optional=True) or "Create"
        if crds not in CRD_POLICIES:
            self.problems.append(f"crdPolicy: must be one of {', '.join(CRD_POLICIES)}, not {crds!r}")
        timeout = self._timeout()
        if self.problems or chart is None:
            return None
        return Watch(
            group=group,
            version=version,
            kind=kind,
            chart=chart,
            overrides=overrides,
            watch_dependent_resources=dependents,
            reconcile_period=period,
            max_concurrent_reconciles=workers,
            selector=selector,
            dry_run_option=dry_run,
            drift_policy=drift,
            ignore_rules=rules,
            crd_policy=crds,
            timeout=timeout,
        )

    def _text(self, name: str, *, optional: bool = False, pattern: re.Pattern[str] | None = None) -> str:
        value = self._row.get(name)
        if value is None or value == "":
            if not optional:
                self.problems.append(f"{name}: is missing")
            return ""
        if not isinstance(value, str):
            self.problems.append(f"{name}: must be text, not {value!r}")
            return ""
        if pattern and not pattern.fullmatch(value):
            self.problems.append(f"{name}: {value!r} is no {name} (it must match {pattern.pattern})")
        return value

    def _chart(self) -> Chart | None:
        text = self._text("chart")
        if not text:
            return None
        try:
            path = self._folder / expand_env(text, self._env)
            return load_chart(path.resolve(), self._snapshots)
        except ChartError as error:
            self.problems.append(f"chart: {path}: {error}")
        except ValueError as error:
            self.problems.append(f"chart: {error}")
        return None

    def _overrides(self) -> tuple[Override, ...]:
        given = self._row.get("overrideValues") or {}
        if not isinstance(given, dict):
            self.problems.append("overrideValues: must be a map of --set paths to values")
            return ()
        found = []
        for path, value in given.items():
            try:
                found.append(Override(str(path), parse_path(str(path)), self._override(value)))
            except ValueError as error:
                self.problems.append(f"overrideValues.{path}: {error}")
        return tuple(found)

    def _override(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = expand_env(value, self._env)
        return typed(render(text, self._env) if "{{" in text else text)

    def _boolean(self, name: str, *, default: bool) -> bool:
        value = self._row.get(name, default)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.problems.append(f"{name}: must be true or false, not {value!r}")
            return default
        return value

    def _period(self) -> float | None:
        if self._row.get("reconcilePeriod") is None:
            return None
        return self._parsed("reconcilePeriod", lambda value: parse_duration(str(value)), 0.0)

    def _timeout(self) -> float | None:
        seconds = self._parsed("timeout", lambda value: parse_duration(str(value)), None)
        if seconds is not None and seconds <= 0:
            self.problems.append("timeout: must be longer than 0, as 5m")
        return seconds

    def _workers(self) -> int | None:
        value = self._row.get("maxConcurrentReconciles")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.problems.append(f"maxConcurrentReconciles: must be a whole number from 1 on, not {value!r}")
            return None
        return value

    def _parsed(self, name: str, parse: Callable[[Any], _T], default: _T) -> _T:
        value = self._row.get(name)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as error:
            self.problems.append(f"{name}: {error}")
            return default
