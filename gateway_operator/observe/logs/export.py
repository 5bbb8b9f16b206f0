"""Lines as files: text, NDJSON and CSV, one line a record whatever the record holds. Pure.

A cell of a CSV that a spreadsheet would take for a formula gets an apostrophe in front: clients write these logs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

from gateway_operator.observe.logs.query import Format
from gateway_operator.observe.logs.reading import Line

MEDIA_TYPES: dict[Format, str] = {"text": "text/plain; charset=utf-8", "ndjson": "application/x-ndjson",
                                  "csv": "text/csv; charset=utf-8"}  # fmt: skip
SUFFIXES: dict[Format, str] = {"text": "txt", "ndjson": "ndjson", "csv": "csv"}
_ACCESS = ("status", "method", "host", "path", "latency", "upstream", "cluster")
_COLUMNS = ("time", "namespace", "pod", "container", *_ACCESS, "log")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def head(form: Format) -> bytes:
    """Return what a file begins with."""
    return (",".join(_COLUMNS) + "\r\n").encode() if form == "csv" else b""


def encoded(form: Format, lines: Iterable[Line]) -> bytes:
    """Return lines as a piece of a file."""
    if form == "csv":
        return _csv(lines)
    if form == "ndjson":
        return "".join(f"{json.dumps(line.as_json(), separators=(',', ':'))}\n" for line in lines).encode()
    return "".join(f"{line.time} {line.pod} {_one_line(line.log)}\n" for line in lines).encode("utf-8", "replace")


def _csv(lines: Iterable[Line]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    for line in lines:
        access = [getattr(line.access, name) if line.access else None for name in _ACCESS]
        cells = [line.time, line.namespace, line.pod, line.container, *access, _one_line(line.log)]
        writer.writerow([_harmless(cell) for cell in cells])
    return text.getvalue().encode("utf-8", "replace")


def _harmless(cell: str | float | None) -> str:
    if cell is None:
        return ""
    text = str(cell)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _one_line(text: str) -> str:
    return text.rstrip("\r\n").replace("\r", "\\r").replace("\n", "\\n")
