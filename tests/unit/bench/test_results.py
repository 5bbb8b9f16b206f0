"""Rows, marks and the file that keeps them."""

from __future__ import annotations

import json
import math

from bench import docs
from bench.results import Part, Results, missed, row
from bench.table import number, table


def test_a_mark_of_the_peer_is_a_figure_in_the_rows_unit():
    """What may be 1.2 times the peer's time is 1.2 times the peer's time."""
    made = row("install", "s", 18.0, 16.0, peer_name="other", of_peer=1.2)
    assert (made.ratio, made.mark, made.holds) == (1.125, 19.2, True)
    assert row("install", "s", 20.0, 16.0, of_peer=1.2).holds is False


def test_a_higher_figure_can_be_the_better_one():
    """A count that has to reach its mark holds from there on."""
    assert row("kills", "", 20, better="higher", mark=20).holds is True
    assert row("kills", "", 19, better="higher", mark=20).holds is False


def test_without_a_peer_a_mark_of_the_peer_is_unknown():
    """A row whose peer is absent says so, and neither holds nor misses."""
    made = row("install", "s", 18.0, None, peer_name="other", of_peer=1.2)
    assert (made.peer, made.peer_name, made.ratio, made.mark, made.holds) == (None, None, None, None, None)


def test_never_misses_the_mark_and_is_no_number():
    """JSON has no infinity: what never came is null, and misses."""
    made = row("drift", "s", math.inf, math.inf, peer_name="other", mark=1.0)
    assert (made.ours, made.peer, made.peer_name, made.holds) == (None, None, "other", False)


def test_zero_beside_zero_has_no_ratio():
    """A peer that does nothing can't be divided by."""
    assert row("writes", "", 0, 0, peer_name="other", mark=0).ratio is None


def test_a_new_run_of_a_part_replaces_its_rows_only(tmp_path):
    """Rows of parts that were not measured stay; the order is the benchmark's."""
    results = Results("engine", ("a", "b"), tmp_path)
    results.put("b", Part((row("b1", "s", 1), row("b2", "s", 2))))
    results.put("a", Part((row("a1", "s", 3, mark=1),), {"seed": 7}))
    results.put("b", Part((row("b1", "s", 4),)))
    kept = json.loads(results.file.read_text())
    assert [(r["what"], r["ours"]) for r in kept["rows"]] == [("a1", 3), ("b1", 4)]
    assert kept["parts"]["a"]["details"] == {"seed": 7}
    assert {"name", "commit", "machine", "date", "rows"} <= kept.keys()
    assert missed(kept["rows"]) == ["a1"]


def test_the_table_shows_what_is_absent():
    """A missing peer, a peer that never did it, and a missed mark are words."""
    rows = [
        vars(row("one", "s", 0.5, 1.0, peer_name="other", mark=1)),
        vars(row("two", "s", 0.5, mark=0.1)),
        vars(row("three", "s", 0.5, math.inf, peer_name="other")),
    ]
    lines = table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["one", "s", "0.5", "1", "0.5", "≤ 1", "yes"]
    assert "no peer" in lines[3]
    assert "**no**" in lines[3]
    assert "never" in lines[4]


def test_numbers_are_short():
    """Figures show the digits that mean something."""
    assert [number(v) for v in (0, 0.004, 0.05, 0.5, 1.234, 12.34, 123.4, 1234)] == [
        "0",
        "4.0e-03",
        "0.05",
        "0.5",
        "1.23",
        "12.3",
        "123",
        "1234",
    ]


def test_the_page_has_every_row_of_every_benchmark(tmp_path):
    """docs/performance.md is made of the results alone, and tells what missed its mark."""
    folder = tmp_path / "results"
    Results("engine", ("a",), folder).put("a", Part((row("a1", "s", 3, 4, peer_name="other 1.0", mark=1),)))
    target = tmp_path / "performance.md"
    assert docs.write(folder, target) == ["a1"]
    text = target.read_text()
    assert "| a1 " in text
    assert "other 1.0" in text


def test_the_page_says_where_each_part_was_measured():
    """Parts of one run share a line; a part that was measured elsewhere says where."""

    def part(commit: str) -> dict[str, str]:
        return {"date": "2026-11-22T09:00:00Z", "commit": commit, "machine": "2 cores"}

    result = {"name": "made-up", "rows": [], "parts": {"a": part("old"), "b": part("new"), "c": part("old")}}
    assert "Measured 2026-11-22 at old on 2 cores (a, c);\n2026-11-22 at new on 2 cores (b); no peer" in docs.section(
        result
    )
    result["parts"] = {"a": part("new")}
    assert "Measured 2026-11-22 at new on 2 cores; no peer" in docs.section(result)
