"""The arithmetic of benchmarks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import median, percentile, slope


@pytest.mark.parametrize(
    ("samples", "share", "expected"),
    [([5.0], 0.95, 5.0), ([4, 1, 3, 2], 0.5, 2), (range(1, 21), 0.95, 19), (range(1, 101), 0.95, 95), ([3, 1], 0, 1)],
)
def test_percentile_is_a_sample_by_its_rank(samples, share, expected):
    """The percentile is the sample that this share of all does not exceed."""
    assert percentile(list(samples), share) == expected


def test_never_counts_in_a_percentile():
    """One sample in twenty that never ended spoils no p95; two do."""
    assert percentile([1.0] * 19 + [math.inf], 0.95) == 1
    assert percentile([1.0] * 18 + [math.inf] * 2, 0.95) == math.inf
    assert median([math.inf, 2, 1]) == 2


def test_no_samples_are_an_error():
    """A percentile of nothing is a fault of the benchmark."""
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_a_line_is_found_without_doubt(rise, start):
    """Points on a line give its slope, and next to no error."""
    fitted, doubt = slope([(x, start + rise * x) for x in range(10)])
    assert fitted == pytest.approx(rise, abs=1e-6)
    assert doubt == pytest.approx(0, abs=1e-6)


def test_noise_gives_doubt():
    """Values that jump around a level have a slope within their doubt."""
    fitted, doubt = slope([(x, 100 + (-1) ** x) for x in range(60)])
    assert abs(fitted) < 2 * doubt


@pytest.mark.parametrize("points", [[(0, 0), (1, 1)], [(1, 0), (1, 1), (1, 2)]])
def test_a_slope_needs_points_apart(points):
    """Two points, or points at one place, have no slope worth telling."""
    with pytest.raises(ValueError, match="point"):
        slope(points)
