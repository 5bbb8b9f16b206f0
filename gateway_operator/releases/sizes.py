"""Sees before helm runs that a release can't be stored: Helm puts chart, values and manifest into one Secret.

Helm itself finds out only after it has rendered everything. The estimate is a lower bound, so it never refuses what
Helm could store.
"""

from __future__ import annotations

import zlib
from typing import Any

from gateway_operator.releases.chart import Chart, chart_files
from gateway_operator.releases.helm_errors import ReleaseTooLarge
from gateway_operator.releases.values import canonical_json

SECRET_LIMIT = 1024 * 1024
PACKED_LIMIT = SECRET_LIMIT * 3 // 4  # Helm stores base64 of the packed release


def check_size(chart: Chart, values: dict[str, Any]) -> None:
    """Refuse a release that surely is too large for a Secret. Raises ReleaseTooLarge."""
    text = canonical_json(values).encode()
    if chart.size + len(text) <= PACKED_LIMIT:
        return
    least = _packed(chart) + len(zlib.compress(text))
    if least > PACKED_LIMIT:
        raise ReleaseTooLarge(
            f"the release would take at least {least * 4 // 3} bytes, and a Secret holds {SECRET_LIMIT} "
            f"(chart: {chart.size}, values: {len(text)}); take large files out of the chart (.helmignore) or long "
            "texts out of the values"
        )


def _packed(chart: Chart) -> int:
    """Pack the files; not remembered, for it is rarely asked and must not keep a chart's snapshot alive."""
    files = [file for _, file in chart_files(chart.path)] if chart.path.is_dir() else [chart.path]
    return sum(len(zlib.compress(file.read_bytes())) for file in files)
