"""Loading charts."""

from __future__ import annotations

import tarfile

import pytest

from gateway_operator.releases.chart import ChartError, load_chart


def test_directory_is_loaded(chart):
    """Name, version, defaults."""
    loaded = load_chart(chart)
    assert (loaded.name, loaded.version, loaded.label, loaded.values) == (
        "demo",
        "1.0.0",
        "demo-1.0.0",
        {"replicas": 1},
    )


def test_archive_has_the_digest_of_its_directory(chart, tmp_path):
    """The same content is the same chart, packed or not."""
    archive = tmp_path / "demo-1.0.0.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(chart, arcname="demo")
    assert load_chart(archive).digest == load_chart(chart).digest


def test_template_edit_changes_the_digest_though_the_version_stays(chart):
    """The version is no key."""
    before = load_chart(chart).digest
    (chart / "templates" / "cm.yaml").write_text("kind: Secret\n")
    assert load_chart(chart).digest != before


def test_ignored_files_are_no_content(chart):
    """.helmignore: plain names, folders, patterns and exceptions."""
    (chart / ".helmignore").write_text("# no\n*.bak\n!keep.bak\nnotes/\n")
    before = load_chart(chart).digest
    (chart / "x.bak").write_text("1")
    (chart / "notes").mkdir()
    (chart / "notes" / "a").write_text("1")
    assert load_chart(chart).digest == before
    (chart / "keep.bak").write_text("1")
    assert load_chart(chart).digest != before


@pytest.mark.parametrize(
    ("file", "text", "match"),
    [
        ("Chart.yaml", None, "no Chart.yaml"),
        ("Chart.yaml", "a: [", "no valid YAML"),
        ("Chart.yaml", "apiVersion: v9\nname: x\nversion: '1'", "apiVersion"),
        ("Chart.yaml", "apiVersion: v2\nname: x", "name and version"),
        ("Chart.yaml", "apiVersion: v2\nname: x\nversion: 1.0", "in quotes"),
        ("Chart.yaml", "apiVersion: v2\nname: x\nversion: '1'\ntype: library", "library"),
        ("Chart.yaml", "apiVersion: v2\nname: x\nversion: '1'\ndependencies: [{name: redis}]", "dependencies redis"),
        ("values.yaml", "- 1", "values.yaml must be a map"),
    ],
)
def test_broken_charts_say_what_to_do(chart, file, text, match):
    """Each with its own words."""
    if text is None:
        (chart / file).unlink()
    else:
        (chart / file).write_text(text)
    with pytest.raises(ChartError, match=match):
        load_chart(chart)


def test_missing_chart(tmp_path):
    """A path to nothing."""
    with pytest.raises(ChartError, match="neither a directory nor"):
        load_chart(tmp_path / "nothing")


def test_file_that_is_no_archive(tmp_path):
    """A text file named .tgz."""
    (tmp_path / "x.tgz").write_text("hello")
    with pytest.raises(ChartError, match=r"as a \.tgz"):
        load_chart(tmp_path / "x.tgz")


def test_links_are_followed_and_what_kubernetes_mounts_beside_files_is_not(chart, tmp_path):
    """A subchart may be a link; a mounted ConfigMap has its files twice."""
    sub = tmp_path / "common"
    (sub / "crds").mkdir(parents=True)
    (sub / "Chart.yaml").write_text("apiVersion: v2\nname: common\nversion: '1'\n")
    (sub / "crds" / "a.yaml").write_text("kind: CustomResourceDefinition\n")
    (chart / "charts").mkdir()
    (chart / "charts" / "common").symlink_to(sub)
    (chart / "charts" / "common" / "loop").symlink_to(sub)
    before = load_chart(chart)
    assert before.crds == ("charts/common/crds/a.yaml",)
    (chart / "..2026").mkdir()
    (chart / "..2026" / "Chart.yaml").write_text("x")
    assert load_chart(chart).digest == before.digest


def test_archive_that_points_out_of_itself(chart, tmp_path):
    """A snapshot writes nowhere but into its folder."""
    archive = tmp_path / "x.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(chart, arcname="demo")
        tar.add(chart / "Chart.yaml", arcname="demo/../../evil")
    with pytest.raises(ChartError, match="points out"):
        load_chart(archive)


def test_file_that_helm_would_refuse(chart):
    """Five megabytes are Helm's limit for a file."""
    (chart / "big").write_bytes(b"x" * (5 * 1024 * 1024 + 1))
    with pytest.raises(ChartError, match=r"big is bigger .* \.helmignore"):
        load_chart(chart)
