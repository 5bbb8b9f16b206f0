"""The page of annotations says what the table says."""

from __future__ import annotations

from pathlib import Path

from gateway_operator.ingress.annotation_page import TITLES, tables
from gateway_operator.ingress.annotation_table import GROUP_ROWS, TABLE

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_up_to_date() -> None:
    """Print it anew with `python -m gateway_operator.ingress.annotation_page`."""
    page = (ROOT / "docs" / "spec" / "ingress-annotations.md").read_text(encoding="utf-8")
    assert page.endswith(tables())


def test_no_row_is_missing() -> None:
    """Every group has a heading, and every annotation stands in one row."""
    assert set(TITLES) == set(GROUP_ROWS)
    assert all(tables().count(f"`{row.name}`") + tables().count(f"`{row.key}`") >= 1 for row in TABLE)
    assert len({row.key for row in TABLE}) == len(TABLE)


def test_notes_fit_a_table() -> None:
    """A note is one line without a pipe, which would end its cell."""
    assert not [row.name for row in TABLE if "|" in row.note or "\n" in row.note]
