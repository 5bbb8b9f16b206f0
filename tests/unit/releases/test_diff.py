"""Differences of objects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.releases.diff import ABSENT, Change, changes, covers, gaps, pointers

values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("wanted", "live", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {}, False),
        ({"a": None, "b": {}, "c": []}, {}, True),
        ({"a": True}, {"a": 1}, False),
        ({"l": [1, 2]}, {"l": [1, 2]}, True),
        ({"l": [1, 2]}, {"l": [2, 1]}, False),
        ({"l": [1]}, {"l": [1, 2]}, False),
        ({"l": [{"name": "a", "x": 1}]}, {"l": [{"name": "a", "x": 1, "defaulted": 1}]}, True),
        ({"l": [{"name": "a"}]}, {"l": [{"name": "injected"}, {"name": "a"}]}, True),
        ({"l": [{"name": "a", "x": 1}]}, {"l": [{"name": "b"}, {"name": "a", "x": 2}]}, False),
        ({"a": {"b": 1}}, {"a": "text"}, False),
    ],
)
def test_covers(wanted, live, expected):
    """All that is wanted is there, whatever else is."""
    assert covers(wanted, live) is expected


@given(values)
def test_everything_covers_itself(value):
    """No value is its own drift."""
    assert covers(value, value)


@given(st.dictionaries(st.text(min_size=1, max_size=3).filter(lambda k: k != "metadata"), values, max_size=4))
def test_equal_objects_have_no_pointers(obj):
    """And so does an object beside itself."""
    assert pointers(obj, obj) == []


def test_pointers_name_the_places():
    """Changed, added, removed; escaped as RFC 6901 says; what the server keeps is left out."""
    before = {
        "metadata": {"labels": {"a/b": "1", "c~d": "2"}, "resourceVersion": "1", "managedFields": [1]},
        "spec": {"ports": [{"port": 1}, {"port": 2}], "list": [1]},
        "status": {"x": 1},
    }
    after = {
        "metadata": {"labels": {"a/b": "2"}, "resourceVersion": "2"},
        "spec": {"ports": [{"port": 1}, {"port": 3}], "list": [1, 2], "new": 1},
    }
    assert pointers(before, after) == [
        "/metadata/labels/a~1b",
        "/metadata/labels/c~0d",
        "/spec/list",
        "/spec/new",
        "/spec/ports/1/port",
    ]


def test_a_selector_with_one_more_key_is_not_covered():
    """The map counts as one value: a key more selects less, although all that is wanted is there."""
    wanted = {"spec": {"selector": {"app": "a"}}}
    assert covers(wanted, {"spec": {"selector": {"app": "a"}, "type": "ClusterIP"}})
    assert not covers(wanted, {"spec": {"selector": {"app": "a", "x": "y"}}})


@pytest.mark.parametrize(
    ("wanted", "live", "expected"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 2}}, [("a", "b"), ("a", "c")]),
        ({"args": ["a"]}, {"args": ["a", "b"]}, [("args",)]),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "X"}, {"name": "A"}]}, [("env", "1", "value")]),
        ({"ports": [{"port": 80}]}, {"ports": [{"port": 81}]}, [("ports", "-")]),
        (
            {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]},
            {"ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]},
            [],
        ),
        ({"requests": {"cpu": "0.5", "memory": "1Gi"}}, {"requests": {"cpu": "500m", "memory": "1024Mi"}}, []),
        ({"requests": {"cpu": "0.5"}}, {"requests": {"cpu": "2"}}, [("requests", "cpu")]),
        ({"data": {"x": "0.5"}}, {"data": {"x": "500m"}}, [("data", "x")]),
    ],
)
def test_gaps_name_what_is_not_as_it_should_be(wanted, live, expected):
    """Lists by the keys of their items, quantities by their amount."""
    assert gaps(wanted, live) == expected


def test_changes_have_old_and_new_values():
    """An item that went or came is named alone, not with its whole list."""
    before = {"data": {"a": "1"}, "l": [{"name": "a"}, {"name": "b", "v": 1}]}
    after = {"data": {"a": "2", "b": "3"}, "l": [{"name": "b", "v": 2}]}
    assert changes(before, after) == [
        Change("/data/a", "1", "2"),
        Change("/data/b", ABSENT, "3"),
        Change("/l/0", {"name": "a"}, ABSENT),
        Change("/l/1/v", 1, 2),
    ]
