"""The rule by which a condition changes."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway_operator.crds.conditions import Condition, Reason, drop_condition, find_condition, set_condition

EARLY = datetime(2026, 1, 1, tzinfo=UTC)
LATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_new_condition_is_appended():
    """The first time a condition is set, its transition is now."""
    assert set_condition([], Condition.READY, True, Reason.ACCEPTED, "fine", 3, EARLY) == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Accepted",
            "message": "fine",
            "observedGeneration": 3,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ]


def test_the_transition_moves_only_with_the_status():
    """A new reason or message keeps the time, a new status doesn't."""
    first = set_condition([], "Ready", True, "A", "a", 1, EARLY)
    second = set_condition(first, "Ready", True, "B", "b", 2, LATE)
    third = set_condition(second, "Ready", None, "C", "c", 2, LATE)
    assert second[0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert (second[0]["reason"], second[0]["observedGeneration"]) == ("B", 2)
    assert (third[0]["status"], third[0]["lastTransitionTime"]) == ("Unknown", "2026-01-02T03:04:05Z")


def test_other_conditions_and_the_order_stay():
    """Conditions of other owners are carried along untouched."""
    foreign = {"type": "Synced", "status": "True", "extra": 1}
    both = set_condition([foreign], "Ready", False, "A", "a", None, EARLY)
    again = set_condition(both, "Ready", True, "A", "a", None, LATE)
    assert [c["type"] for c in again] == ["Synced", "Ready"]
    assert again[0] == foreign
    assert drop_condition(again, "Ready") == [foreign]
    assert find_condition(again, "Ready") == again[1]
    assert find_condition(again, "Gone") is None


def test_long_messages_are_cut():
    """A message never grows past what a status should hold."""
    assert len(set_condition([], "Ready", True, "A", "x" * 9999, 1, EARLY)[0]["message"]) == 2048
