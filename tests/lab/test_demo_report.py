"""The demo's report is JSON that says what was seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.demo import report


def test_report_is_json_with_the_promised_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs find gateways, requests, repairs and seconds."""
    monkeypatch.setattr(report, "REPORT", tmp_path / "report.json")
    seen = report.Report()
    with seen.step("lab", "a step"):
        seen.gateways.append({"name": "a", "scope": "Project", "ready": True, "address": "192.0.2.1"})
    seen.requests.by_backend["a -> b"] = 1
    seen.repaired_ms["a Service"] = 5
    seen.split, seen.policy = {"a": 3, "b": 1}, {"a": 75.0, "b": 25.0}
    seen.cut = report.Cut(10, 1, 1.0, 0.5, 2.0, {"a": 9})
    seen.write()
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["gateways"][0]["name"] == "a"
    assert written["requests"] == {"sent": 0, "ok": 0, "by_backend": {"a -> b": 1}}
    assert written["repaired_ms"] == {"a Service": 5}
    assert written["split"] == {"a": 3, "b": 1}
    assert written["cut"]["failed"] == 1
    assert written["seconds"].keys() == {"lab"}
    assert "a: 3 of 4 requests (75.00%), policy 75.00%" in seen.summary()
    assert "1 of 10 requests failed" in seen.summary()
    assert "a Service: back after 5 ms" in seen.summary()
