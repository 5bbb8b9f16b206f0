"""Tests of counting in bounded memory and of export's formats."""

from __future__ import annotations

import csv
import io

from gateway_operator.observe.logs.access_lines import AccessLines
from gateway_operator.observe.logs.counting import Buckets, Top
from gateway_operator.observe.logs.export import encoded, head
from gateway_operator.observe.logs.reading import Line
from tests.observe.logs.corpus import access


def line(log: str) -> Line:
    """A line with a given text."""
    return Line(log, "2026-11-21T12:00:00Z", "ns", "pod", "controller", "id", 0, AccessLines().read(log))


def test_top_is_exact_while_values_are_few() -> None:
    """The most frequent come first, equal ones by name, and the rest is counted."""
    top = Top()
    for value in ["b"] * 3 + ["a"] * 3 + ["c"] * 5 + ["d", ""]:
        top.add(value)
    assert top.as_json("host", 2) == {
        "field": "host",
        "items": [{"value": "c", "count": 5}, {"value": "a", "count": 3}],
        "other": 5,
        "exact": True,
    }


def test_top_forgets_rare_values_and_says_so() -> None:
    """A client that makes up paths can't fill memory; what is frequent stays."""
    top = Top(kept=10)
    for number in range(1000):
        top.add(f"/random/{number}")
        top.add("/tea")
    found = top.as_json("path", 1)
    assert found["items"] == [{"value": "/tea", "count": 1000}]
    assert (found["other"], found["exact"]) == (1000, False)


def test_buckets_show_gaps() -> None:
    """Intervals without lines are there, with 0."""
    buckets = Buckets(60)
    buckets.add(61_000)
    buckets.add(240_000, 2)
    rows = [(row["time"], row["count"]) for row in buckets.as_json()["histograms"]]
    assert rows == [(60_000, 1), (120_000, 0), (180_000, 0), (240_000, 2)]


def test_formulas_in_csv_are_neutralised() -> None:
    """A client's text that a spreadsheet would run gets an apostrophe; the file has one row a record."""
    texts = ['=HYPERLINK("http://evil")', "+1+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\r=1", 'a,"b"\nc', access()]
    text = (head("csv") + encoded("csv", map(line, texts))).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == len(texts)
    for row in rows:
        assert not any(cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())
    assert rows[0]["log"] == "'" + texts[0]
    assert (rows[-1]["status"], rows[-1]["path"], rows[-1]["latency"]) == ("200", "/tea", "0.004")


def test_a_record_of_text_and_ndjson_is_one_line() -> None:
    """A newline in a log can't make a record of its own."""
    for form in ("text", "ndjson"):
        assert encoded(form, [line("a\nb\r\n"), line("c")]).count(b"\n") == 2  # type: ignore[arg-type]
    assert encoded("text", [line("a\n")]) == b"2026-11-21T12:00:00Z pod a\n"
