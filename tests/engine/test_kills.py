"""Operators that are killed in the midst of their work: T37. A file of its own, since it takes long."""

from __future__ import annotations

import json
import random

import pytest

from tests.engine.kills import CONVERGED, PHASES, run_kills


@pytest.mark.parametrize("count", [len(PHASES), pytest.param(100, marks=pytest.mark.long)])
async def test_t37_killed_at_any_point(api_cluster, profile, helm_binary, tmp_path, count):
    """After each SIGKILL the next operator makes everything right within 30 seconds: no orphans, nothing pending."""
    seed = random.SystemRandom().randrange(1000)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it beside a failure
    rows = await run_kills(count, seed, cluster=api_cluster, helm=helm_binary, folder=tmp_path, profile=profile)
    most = 30 if count >= 100 else CONVERGED  # the long form is for a machine that has nothing else to do
    slow = [row for row in rows if row["seconds"] is None or row["seconds"] > most]
    bad = slow + [row for row in rows if row["wrong"] or not row["helm_died"]]
    assert not bad, json.dumps(bad, indent=1)
    if count >= 100:
        for phase in PHASES:
            assert sum(row["helm_alive"] for row in rows if row["phase"] == phase) >= 20
