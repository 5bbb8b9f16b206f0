"""Values, overrides and the digest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.releases.values import Override, build_values, canonical_json, input_digest, merge

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
documents = st.dictionaries(st.text(max_size=3), json_values, max_size=4)


def test_maps_merge_and_lists_replace():
    """Helm's rule; pyhelm3 would concatenate the lists."""
    assert merge({"a": {"x": 1, "y": 2}, "l": [1, 2]}, {"a": {"y": 3}, "l": [9]}) == {"a": {"x": 1, "y": 3}, "l": [9]}


def test_null_deletes_or_stays_for_helm_to_delete_with():
    """A null in user values removes the chart's default, so it must reach Helm."""
    assert merge({"a": 1, "b": 2}, {"a": None}) == {"a": None, "b": 2}
    assert merge({"a": 1, "b": 2}, {"a": None}, keep_nulls=False) == {"b": 2}


@given(documents, documents)
def test_merge_never_changes_its_inputs(base, over):
    """Plans are shared between passes."""
    before = canonical_json([base, over])
    merge(base, over)
    assert canonical_json([base, over]) == before


@given(documents)
def test_merge_with_itself_is_itself(document):
    """Idempotent, so that a digest is stable."""
    assert merge(document, document) == document


def test_overrides_win_and_are_told_only_where_they_replace_something():
    """ValueOverridden is for words of the user that are not used."""
    overrides = (Override("image.tag", ("image", "tag"), "2"), Override("same", ("same",), 1), Override("n", ("n",), 3))
    built = build_values({"image": {"tag": "1"}, "same": 1}, overrides)
    assert built.values == {"image": {"tag": "2"}, "same": 1, "n": 3}
    assert built.overridden == ("image.tag",)


def test_digest_depends_on_every_input_and_nothing_else():
    """Order of keys is no input."""
    base = input_digest(chart_digest="c", values={"a": 1, "b": 2}, release_name="r")
    assert base == input_digest(chart_digest="c", values={"b": 2, "a": 1}, release_name="r")
    assert base != input_digest(chart_digest="d", values={"a": 1, "b": 2}, release_name="r")
    assert base != input_digest(chart_digest="c", values={"a": 1, "b": "2"}, release_name="r")
    assert base != input_digest(chart_digest="c", values={"a": 1, "b": 2}, release_name="s")
    assert len(base) == 40


def test_remarks_name_values_but_no_secrets():
    """For the Event ValueOverridden; the operator may hide all values."""
    overrides = (
        Override("image.tag", ("image", "tag"), "2"),
        Override("db.password", ("db", "password"), "hunter2"),
    )
    spec = {"image": {"tag": "1"}, "db": {"password": "x"}}
    shown = build_values(spec, overrides).remarks
    assert 'image.tag to "2"' in shown[0]
    assert "db.password to ****" in shown[1]
    assert "image.tag to ****" in build_values(spec, overrides, suppress=True).remarks[0]
