"""Differences of objects, and who made them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.releases.diff import covers, culprits, pointers, replicas_are_scaled

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


def managed(manager, fields, *, time="2026-01-01T00:00:00Z", subresource=""):
    """An entry of managedFields."""
    return {"manager": manager, "fieldsV1": fields, "time": time, "subresource": subresource}


OBJECT = {
    "metadata": {
        "managedFields": [
            managed("helm", {"f:data": {"f:a": {}}}, time="2026-01-03T00:00:00Z"),
            managed("kubectl-edit", {"f:data": {"f:b": {}}}, time="2026-01-02T00:00:00Z"),
            managed(
                "port-fan", {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:nodePort": {}}}}}
            ),
            managed("controller", {"f:status": {}}, subresource="status", time="2026-01-09T00:00:00Z"),
        ]
    },
    "data": {"a": "1", "b": "2"},
    "spec": {"ports": [{"port": 80, "protocol": "TCP", "nodePort": 30000}]},
}
OURS = frozenset({"helm"})


@pytest.mark.parametrize(
    ("changed", "who"),
    [
        (["/data/b"], ["kubectl-edit"]),
        (["/spec/ports/0/nodePort"], ["port-fan"]),
        (["/spec/ports"], ["port-fan"]),
        (["/data/gone"], ["kubectl-edit"]),  # nobody owns what is gone: the last who wrote
        (["/data/b", "/spec/ports/0/nodePort"], ["kubectl-edit", "port-fan"]),
    ],
)
def test_culprits(changed, who):
    """By the managed fields, never ourselves, never who wrote a status."""
    assert culprits(OBJECT, changed, ours=OURS) == who


def test_nobody_to_blame():
    """An object without managed fields has no culprits."""
    assert culprits({"metadata": {}}, ["/a"], ours=OURS) == []


def test_autoscaler_is_known_by_the_scale_subresource():
    """`kubectl scale` is drift, an HPA isn't."""
    fields = {"f:spec": {"f:replicas": {}}}
    hpa = {"metadata": {"managedFields": [managed("kube-controller-manager", fields, subresource="scale")]}}
    person = {"metadata": {"managedFields": [managed("kubectl", fields, subresource="scale")]}}
    assert replicas_are_scaled(hpa)
    assert not replicas_are_scaled(person)


def test_a_selector_with_one_more_key_is_not_covered():
    """The map counts as one value: a key more selects less, although all that is wanted is there."""
    wanted = {"spec": {"selector": {"app": "a"}}}
    assert covers(wanted, {"spec": {"selector": {"app": "a"}, "type": "ClusterIP"}})
    assert not covers(wanted, {"spec": {"selector": {"app": "a", "x": "y"}}})
