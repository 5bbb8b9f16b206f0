"""Go durations."""

from __future__ import annotations

import pytest

from gateway_operator.releases.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("1m", 60), ("10s", 10), ("1h2m3s", 3723), ("1.5s", 1.5), ("100ms", 0.1), (".5m", 30)],
)
def test_durations(text, seconds):
    """As time.ParseDuration reads them."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "1 m", "m", "1d", "-1s", "1m x"])
def test_what_go_refuses(text):
    """And so do we (negative periods make no sense)."""
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)
