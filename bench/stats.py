"""The little arithmetic that benchmarks need, so that each figure is computed in one way. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that at least `share` (0 to 1) of all samples do not exceed.

    A sample that is infinite says "never"; so may the result.
    """
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(samples: Sequence[float]) -> float:
    """Return the middle sample, the lower of two."""
    return percentile(samples, 0.5)


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Fit a line through (x, y) by least squares; returns its slope and the slope's standard error."""
    n = len(points)
    if n < 3:  # noqa: PLR2004 - two points leave nothing to judge an error by
        raise ValueError("a slope needs three points")
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        raise ValueError("all points lie at one place")
    fitted = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - fitted * (x - mean_x)) ** 2 for x, y in points)
    return fitted, math.sqrt(rest / (n - 2) / spread)
