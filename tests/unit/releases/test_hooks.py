"""Which hook a run is at, from Helm's record."""

from __future__ import annotations

import pytest

from gateway_operator.releases.hooks import unfinished_hook


def hook(name, events, phase=None, at="2026-01-01T00:00:00Z"):
    """One hook of a record; without a phase it has not been started."""
    run = {"started_at": at, "phase": phase} if phase else {"phase": ""}
    return {"name": name, "kind": "Job", "events": events, "last_run": run}


@pytest.mark.parametrize(
    ("hooks", "during", "expected"),
    [
        ([], "", None),
        ([hook("a", ["pre-install"])], "", None),
        ([hook("a", ["pre-install"], "Succeeded")], "", None),
        ([hook("a", ["pre-install"], "Running")], "", "hook Job a, phase pre-install"),
        ([hook("a", ["pre-install"], "Failed")], "", "hook Job a, phase pre-install"),
        ([hook("a", ["pre-install", "pre-upgrade"], "Running")], "pending-upgrade", "hook Job a, phase pre-upgrade"),
        (
            [hook("a", ["pre-upgrade"], "Succeeded"), hook("b", ["post-upgrade"], "Unknown", "2026-01-01T00:00:05Z")],
            "pending-upgrade",
            "hook Job b, phase post-upgrade",
        ),
        ([{"name": "odd", "kind": "Job", "last_run": None}], "", None),
    ],
)
def test_unfinished_hook(hooks, during, expected):
    """The one that was started last, unless it succeeded."""
    assert unfinished_hook({"hooks": hooks}, during) == expected
