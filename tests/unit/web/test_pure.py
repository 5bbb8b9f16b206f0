"""Selectors, merge patches and tokens of certificates: what needs no server to be judged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.web.manifest import merge_patch
from gateway_operator.web.pods import log_query
from gateway_operator.web.problems import Problem
from gateway_operator.web.selectors import parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b,c!=d", {"a": "b"}, True),
        ("a in (x, y)", {"a": "y"}, True),
        ("a notin (x,y)", {}, True),
        ("a notin (x,y),b", {"a": "x", "b": ""}, False),
        ("!a", {"a": ""}, False),
        ("example.com/a", {"example.com/a": ""}, True),
    ],
)
def test_selectors(selector, labels, matches):
    """Selectors mean what the API server takes them to mean."""
    assert parse(selector)(labels) is matches


@pytest.mark.parametrize("selector", ["a=b=c", "a in x", "(", "a b", ",", "=x"])
def test_bad_selectors(selector):
    """What the API server refuses is refused."""
    with pytest.raises(ValueError, match="no part of a label selector"):
        parse(selector)


@given(JSON)
def test_a_merge_patch_twice_is_once(patch):
    """A merge patch applied again changes nothing, and leaves no null behind in maps."""
    once = merge_patch({"a": 1, "b": {"c": 2}}, patch)
    assert merge_patch(once, patch) == once


def test_merge_patch_of_the_standard():
    """Maps merge, null deletes, lists replace."""
    target = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge_patch(target, {"a": {"b": None, "c": [3]}, "e": {"f": None}}) == {"a": {"c": [3]}, "d": 1, "e": {}}


@given(
    st.dictionaries(
        st.sampled_from(["tailLines", "container", "follow", "sinceTime", "insecureSkipTLSVerifyBackend"]), st.text()
    )
)
def test_log_options_are_known_or_refused(params):
    """Nothing but checked PodLogOptions reaches the API server."""
    try:
        query = log_query(params)
    except Problem:
        return
    assert query.keys() <= {"tailLines", "container", "follow", "sinceTime"}
    assert all(value.isascii() for value in query.values())
