"""Releases that no Secret can hold are refused before helm runs."""

from __future__ import annotations

import base64
import gc
import os

import pytest

from gateway_operator.releases.chart import Snapshots, load_chart
from gateway_operator.releases.helm_errors import ReleaseTooLarge
from gateway_operator.releases.sizes import check_size


@pytest.fixture
def chart(tmp_path):
    """Make a chart with a file of so many bytes."""

    def make(content=b""):
        folder = tmp_path / f"chart{len(content)}"
        folder.mkdir()
        (folder / "Chart.yaml").write_text('apiVersion: v2\nname: demo\nversion: "1"\n')
        (folder / "file").write_bytes(content)
        return load_chart(folder)

    return make


def noise(size):
    """Text that packs badly."""
    return base64.b64encode(os.urandom(size)).decode()


def test_what_fits_passes(chart):
    """Also large texts that pack well."""
    check_size(chart(), {"text": "x" * 3_000_000})
    check_size(chart(os.urandom(400_000)), {"text": noise(100_000)})


def test_what_never_fits_is_refused(chart):
    """Values, chart, or both together; the message has the figures."""
    with pytest.raises(ReleaseTooLarge, match="a Secret holds 1048576"):
        check_size(chart(), {"text": noise(900_000)})
    with pytest.raises(ReleaseTooLarge):
        check_size(chart(os.urandom(900_000)), {})


def test_a_measured_snapshot_still_goes_with_its_chart(chart, tmp_path):
    """What was measured is not kept alive by that: old charts would fill the disk."""
    chart(os.urandom(900_000))
    (copies := tmp_path / "copies").mkdir()
    kept = load_chart(tmp_path / "chart900000", Snapshots(copies))
    with pytest.raises(ReleaseTooLarge) as refused:
        check_size(kept, {})
    assert list(copies.iterdir())
    del kept, refused
    gc.collect()
    assert not list(copies.iterdir())
