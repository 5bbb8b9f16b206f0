"""Keeps the outcome of every test, so that docs can show two operators beside each other."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

_PATH = re.compile(r"(?<![\w/:.])/(?:[\w.+-]+/)+")  # of the machine that ran it
_NUMBER = re.compile(r"test_t(\d\d)_")
NOT_APPLICABLE = "not applicable: "


class Recorder:
    """Writes results/OPERATOR.json at the end of a run; outcomes of earlier runs stay for tests that did not run."""

    def __init__(self, operator: str, folder: Path) -> None:
        self._file = folder / f"{operator}.json"
        self._operator = operator
        self._results: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a report in; a failure before or after the test itself is one of the test."""
        name = report.nodeid.rpartition("::")[2]
        number = _NUMBER.match(name)
        if not number or (report.when != "call" and report.passed):
            return
        if self._results.get(name, {}).get("outcome") == "failed":
            return
        self._results[name] = {
            "number": f"T{number.group(1)}",
            "outcome": "not applicable" if report.skipped else report.outcome,
            "reason": _reason(report),
            "seconds": round(report.duration, 1),
        }

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        """Write the file."""
        if self._results:
            old = json.loads(self._file.read_text())["tests"] if self._file.exists() else {}
            found = {"operator": self._operator, "tests": dict(sorted({**old, **self._results}.items()))}
            self._file.parent.mkdir(exist_ok=True)
            self._file.write_text(json.dumps(found, indent=1) + "\n")
        return (yield)


def _reason(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    if report.skipped:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        return text.removeprefix("Skipped: ").removeprefix(NOT_APPLICABLE)
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    text = _PATH.sub("", text)
    return textwrap.shorten(text, 300, placeholder=" …")
