"""Result rows as a table in Markdown, which is also what the terminal shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

HEAD = ("measure", "unit", "ours", "peer", "ours / peer", "mark", "holds")
_WORDS = {True: "yes", False: "**no**", None: ""}


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a Markdown table, its columns aligned."""
    lines = [HEAD, *(_cells(r) for r in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    rule = tuple("-" * w for w in widths)
    padded = [
        " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in (HEAD, rule, *lines[1:])
    ]
    return "\n".join(f"| {line} |" for line in padded)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    sign = "≤" if row["better"] == "lower" else "≥"
    absent = "never" if row["peer_name"] else "no peer"
    return (
        row["what"],
        row["unit"],
        "never" if row["ours"] is None else number(row["ours"]),
        absent if row["peer"] is None else number(row["peer"]),
        number(row["ratio"]) if row["ratio"] is not None else "",
        f"{sign} {number(row['mark'])}" if row["mark"] is not None else "",
        _WORDS[row["holds"]],
    )


def number(value: float) -> str:
    """Write a figure with the digits that mean something."""
    if value and abs(value) < 0.01:  # noqa: PLR2004
        return f"{value:.1e}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"
