"""The page of results says what was recorded, and no scenario is without a test."""

from __future__ import annotations

from tests.engine.report import OURS, PEER, TARGET, checks, outcomes, page, plain, worst


def test_every_number_has_a_test():
    """T01 to T47, and each test has a sentence."""
    found = list(checks())
    assert {c.number for c in found} == {f"T{n:02}" for n in range(1, 48)}
    assert all(c.text for c in found)


def test_worst_outcome_of_parameters_counts():
    """One failure among several is a failure, and says which."""
    found = [
        {"name": "test_t01_x[a]", "outcome": "passed", "reason": ""},
        {"name": "test_t01_x[b]", "outcome": "failed", "reason": "never became true"},
    ]
    assert worst(found) == ("failed", "1 of 2 (b): never became true")
    assert worst(found[:1]) == ("passed", "")
    assert worst([]) == ("", "")


def test_reasons_fit_a_cell():
    """No pipe, no name that changes from run to run."""
    assert plain("AssertionError: assert a | b in ns-0011aabb") == "a \\| b in …"


def test_page_is_up_to_date():
    """docs/conformance.md was written from the outcomes that are recorded."""
    assert TARGET.read_text() == page(outcomes(OURS), outcomes(PEER))
