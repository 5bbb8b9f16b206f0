"""How commands speak: plain tables without colour for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return columns as wide as their widest cell; the last one ends where its text ends."""
    texts = [[_cell(value) for value in row] for row in (heads, *rows)]
    widths = [max(len(row[n]) for row in texts) for n in range(len(heads))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts
    )


def say(text: str = "") -> None:
    """Print a line of the answer."""
    typer.echo(text)


def progress(text: str) -> None:
    """Print a line about what is going on, beside the answer."""
    typer.echo(text, err=True)


def say_json(value: Any) -> None:
    """Print the whole answer as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _cell(value: Any) -> str:
    return " ".join(str(value).split()) if value not in {None, ""} else "-"
