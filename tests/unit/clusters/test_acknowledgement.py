"""What pods answer is a stranger's word: what makes no sense in it is left out, and nothing of it is taken as it is."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_operator.clusters.acknowledgement import _report
from gateway_operator.traffic.gateways import Quarantined


@pytest.mark.parametrize("part", [None, [], "x", {}, {"count": "2"}, {"count": -1}])
def test_an_answer_without_a_quarantine_says_nothing_of_it(part: Any) -> None:
    """An older gateway's answer, or nonsense, is no word that nobody is left out; the rest of it counts."""
    report = _report("pod", {"quarantine": part, "multiCluster": {"digest": "d"}})
    assert (report.quarantine, report.digest, report.error) == (None, "d", "")


def test_texts_of_pods_are_bounded() -> None:
    """Rows that are no objects are left out, texts are cut and have no control characters."""
    rows = [7, {"ingress": "shop/b\nad", "message": "x" * 9_999}, {}]
    found = _report("pod", {"quarantine": {"count": 3, "ingresses": rows}}).quarantine
    assert found == Quarantined(3, (("shop/bad", "x" * 500), ("", "")))
    assert _report("pod", {"quarantine": {"count": 1, "ingresses": "no list"}}).quarantine == Quarantined(1)
