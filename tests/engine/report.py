"""Writes docs/conformance.md from the recorded outcomes, so that no result in the docs was typed by anybody.

`python -m tests.engine.report`, after runs with `--record`.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engine import remarks as remarks_on

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "docs" / "conformance.md"
OURS, PEER = "gateway-operator", "helm-operator"
SIGNS = {"passed": "yes", "failed": "no", "not applicable": "n/a", "": "not run"}
_NUMBER = re.compile(r"test_t(\d\d)_")
_LIMIT = 160

HEAD = """# Conformance

Written by `python -m tests.engine.report` from recorded runs of `tests/engine`: the scenarios that Helm operators are
tested with by their own projects, and some that none of them has, against a real API server, real controllers and a
real helm. The same checks run against our operator and against operator-sdk's helm-operator:

```
pytest tests/engine --record
pytest tests/engine --record --operator=path/to/helm-operator
python -m tests.engine.report
```

*yes*: every check of the row passed. *no*: one failed, and the remark says why. *n/a*: the operator has nothing
that the row is about, and the remark says what. What this means for somebody who moves over is in
[differences.md](differences.md).

"""


@dataclass(frozen=True)
class Check:
    """One test function: its number, its name and the sentence that says what it checks."""

    number: str
    name: str
    text: str


def checks(folder: Path = HERE) -> Iterator[Check]:
    """Read the tests of the suite, in the order of their numbers."""
    found = []
    for file in folder.glob("test_*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (match := _NUMBER.match(node.name)):
                text = (ast.get_docstring(node) or "").split("\n\n")[0]
                found.append(Check(f"T{match.group(1)}", node.name, " ".join(text.split())))
    return iter(sorted(found, key=lambda c: (c.number, c.name)))


def outcomes(operator: str, folder: Path = HERE / "results") -> dict[str, list[dict[str, Any]]]:
    """Read what was recorded, by test function; a function with parameters has several outcomes."""
    file = folder / f"{operator}.json"
    tests = json.loads(file.read_text())["tests"] if file.exists() else {}
    grouped: dict[str, list[dict[str, Any]]] = {}
    for name, outcome in tests.items():
        grouped.setdefault(name.partition("[")[0], []).append({"name": name, **outcome})
    return grouped


def worst(found: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the outcome of a row and the remark that explains it."""
    for kind in ("failed", "not applicable", "passed"):
        chosen = [o for o in found if o["outcome"] == kind]
        if not chosen:
            continue
        part = chosen[0]["name"].partition("[")[2].rstrip("]")
        some = f"{len(chosen)} of {len(found)} ({part}): " if kind == "failed" and len(found) > 1 else ""
        return kind, some + chosen[0]["reason"]
    return "", ""


def page(ours: dict[str, list[dict[str, Any]]], peer: dict[str, list[dict[str, Any]]]) -> str:
    """Return the whole page."""
    lines = ["| | what is checked | gateway-operator | helm-operator | remark |", "|---|---|---|---|---|"]
    totals = {OURS: dict.fromkeys(SIGNS, 0), PEER: dict.fromkeys(SIGNS, 0)}
    for check in checks():
        cells, remarks = [], []
        for operator, found in ((OURS, ours), (PEER, peer)):
            outcome, reason = worst(found.get(check.name, []))
            totals[operator][outcome] += 1
            cells.append(SIGNS[outcome])
            if outcome == "failed" and operator == PEER:
                reason = remarks_on.PEER.get(check.name, reason)
            remarks += [f"{operator}: {plain(reason)}"] if reason else []
        lines.append(f"| {check.number} | {check.text} | {' | '.join(cells)} | {'; '.join(remarks)} |")
    counts = [
        f"{operator}: " + ", ".join(f"{count} {SIGNS[kind]}" for kind, count in found.items() if count)
        for operator, found in totals.items()
    ]
    return f"{HEAD}{'. '.join(counts)}.\n\n" + "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Make a line of a failure fit for a cell of a table."""
    text = re.sub(r"^(AssertionError|Failed): (assert )?", "", text)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\b(ns|tmp)-[0-9a-f]{6,}|0x[0-9a-f]+", "…", text)
    text = text if len(text) <= _LIMIT else f"{text[: _LIMIT - 1]}…"
    return text.replace("|", "\\|").replace("`", "'").replace("<", "&lt;").replace("{", "&#123;")


def main() -> None:
    """Write the page."""
    TARGET.write_text(page(outcomes(OURS), outcomes(PEER)))
    sys.stdout.write(f"{TARGET}\n")


if __name__ == "__main__":
    main()
