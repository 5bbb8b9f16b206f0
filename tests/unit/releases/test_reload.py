"""Reading watches.yaml and charts anew: when, and what stays when they are wrong."""

from __future__ import annotations

import gc
import os
import shutil

import pytest

from gateway_operator.errors import ConfigError
from gateway_operator.releases.reload import WatchesFile, compare_rows, needs_new_stream
from gateway_operator.releases.watches import load_watches

ROW = "- {group: g.io, version: v1, kind: %s, chart: chart%s}\n"


@pytest.fixture
def watches(tmp_path, chart):
    """A watches.yaml with one row."""
    file = tmp_path / "watches.yaml"
    file.write_text(ROW % ("K", ""))
    (tmp_path / "snapshots").mkdir()
    return WatchesFile(file, tmp_path / "snapshots", {})


def settle(watches):
    """Look until the change was still for one look."""
    return [watches.look(), watches.look()][-1]


def test_nothing_changes_while_nothing_changed(watches):
    """Looking is not reading."""
    before = watches.watches
    assert not settle(watches)
    assert watches.watches is before


def test_a_change_is_read_once_it_is_still(watches, tmp_path):
    """Half a file is not taken in."""
    (tmp_path / "watches.yaml").write_text(ROW % ("K", "") + ROW % ("L", ""))
    assert not watches.look()
    (tmp_path / "watches.yaml").write_text(ROW % ("K", "") + ROW % ("M", ""))
    assert not watches.look()
    assert watches.look()
    assert [w.kind for w in watches.watches] == ["K", "M"]


def test_a_template_is_watched_too(watches, chart):
    """An edited chart is another chart, and helm gets its copy."""
    old = watches.watches[0].chart
    (chart / "templates" / "cm.yaml").write_text("kind: Secret\n")
    assert settle(watches)
    new = watches.watches[0].chart
    assert new.digest != old.digest
    assert (old.path / "templates" / "cm.yaml").read_text() == "kind: ConfigMap\n"
    assert (new.path / "templates" / "cm.yaml").read_text() == "kind: Secret\n"


def test_a_snapshot_goes_with_the_last_who_uses_it(watches, chart, tmp_path):
    """Old copies don't pile up."""
    old = watches.watches[0].chart.path
    (chart / "templates" / "cm.yaml").write_text("kind: Secret\n")
    settle(watches)
    gc.collect()
    assert not old.exists()
    assert len(list((tmp_path / "snapshots").iterdir())) == 1


def test_touching_a_file_is_no_change(watches, chart):
    """The content counts."""
    os.utime(chart / "Chart.yaml")
    before = watches.watches[0].chart
    assert not settle(watches)
    assert watches.watches[0].chart is before


@pytest.mark.parametrize("text", ["{", ROW % ("K", "/nowhere"), "- {kind: K}"])
def test_a_wrong_file_keeps_the_last_good_rows(watches, tmp_path, text):
    """It is told, and the right one after it is taken."""
    before = watches.watches
    (tmp_path / "watches.yaml").write_text(text)
    assert not settle(watches)
    assert watches.problem
    assert watches.watches is before
    (tmp_path / "watches.yaml").write_text(ROW % ("L", ""))
    assert settle(watches)
    assert watches.problem is None


def test_a_chart_that_comes_later_is_found(watches, tmp_path, chart):
    """The row may be written before its chart is copied."""
    (tmp_path / "watches.yaml").write_text(ROW % ("K", "2"))
    assert not settle(watches)
    assert "neither a directory" in watches.problem
    shutil.copytree(chart, tmp_path / "chart2")
    assert not settle(watches)  # the same content: the rows didn't change
    assert watches.problem is None


def test_a_swapped_link_is_a_change(tmp_path, chart):
    """Kubernetes changes a mounted ConfigMap by a link to another folder."""
    for number, kind in ((1, "K"), (2, "L")):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "watches.yaml").write_text(ROW % (kind, ""))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "watches.yaml").symlink_to("..data/watches.yaml")
    (tmp_path / "snapshots").mkdir()
    watches = WatchesFile(tmp_path / "watches.yaml", tmp_path / "snapshots", {})
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert settle(watches)
    assert watches.watches[0].kind == "L"


def test_the_first_reading_must_be_right(tmp_path):
    """A start with a wrong file ends."""
    (tmp_path / "watches.yaml").write_text("{")
    with pytest.raises(ConfigError):
        WatchesFile(tmp_path / "watches.yaml", tmp_path, {})


def test_rows_are_compared_by_kind(tmp_path, chart):
    """Added, removed, changed; a new stream only for what a stream sees."""

    def rows(text):
        (tmp_path / "w.yaml").write_text(text)
        return load_watches(tmp_path / "w.yaml", {})

    old = rows(ROW % ("K", "") + ROW % ("L", ""))
    new = rows("- {group: g.io, version: v2, kind: K, chart: chart}\n" + ROW % ("M", ""))
    changes = compare_rows(old, new)
    assert [w.kind for w in changes.added] == ["M"]
    assert [w.kind for w in changes.removed] == ["L"]
    [(before, after)] = changes.changed
    assert needs_new_stream(before, after)
    slower = rows("- {group: g.io, version: v1, kind: K, chart: chart, reconcilePeriod: 1h}\n")
    assert not needs_new_stream(old[0], slower[0])


def test_a_refresh_reads_at_once(watches, tmp_path):
    """What a replica does before it leads."""
    assert not watches.refresh()
    (tmp_path / "watches.yaml").write_text(ROW % ("L", ""))
    assert watches.refresh()
    assert not settle(watches)
