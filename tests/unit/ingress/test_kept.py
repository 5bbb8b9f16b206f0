"""What is kept between passes: compared cheaply, it says the same as a comparison of everything."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.ingress.memo import REMEMBERED, Gathered, Line, Members, changed, touched
from gateway_operator.ingress.ordered import Ordered
from gateway_operator.ingress.pace import CALM, FIRST_GAP, LONGEST_GAP, Gathering
from gateway_operator.ingress.records import difference
from gateway_operator.ingress.slim import slim
from tests.nginx.objects import ingress, rule

KEYS = st.sampled_from("abcdef")
EDITS = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=2)), max_size=5)


@given(st.lists(EDITS, min_size=2, max_size=6), st.data())
def test_copies_of_a_line_are_compared_by_what_was_touched(steps: list[Any], data: st.DataObject) -> None:
    """Between any two copies, whichever is older, keys and changes are those of plain mappings."""
    line = Line[str, bytes]()
    copies = []
    for step in steps:
        for key, value in step:
            if value is None:
                line.drop(key)
            else:
                line.put(key, value)
        copies.append(line.now())
        assert copies[-1] is line.now()
    old, new = data.draw(st.sampled_from(copies)), data.draw(st.sampled_from(copies))
    assert changed(old, new) == changed(dict(old), dict(new))
    assert difference(old, new) == difference(dict(old), dict(new))


def test_copies_that_are_too_old_are_compared_whole() -> None:
    """Only so many steps are remembered, and another line's copy says nothing."""
    line, other = Line[str, int](), Line[str, int]()
    first = line.now()
    for number in range(REMEMBERED + 1):
        line.put("a", number)
        line.now()
    assert touched(first, line.now()) is None
    assert touched(other.now(), line.now()) is None
    assert changed(first, line.now()) == {"a"}


@given(st.lists(st.lists(st.integers(0, 9), unique=True), max_size=6))
def test_members_that_came_and_went(lists: list[list[int]]) -> None:
    """By identity, in any order, whatever the lists have in common."""
    objects = [[number] for number in range(10)]
    members, before = Members[list[int]](), set[int]()
    for numbers in lists:
        gone, came = members.turn([objects[number] for number in numbers])
        assert {item[0] for item in gone} == before - set(numbers)
        assert [item[0] for item in came] == [number for number in numbers if number not in before]
        before = set(numbers)


@given(st.lists(st.tuples(KEYS, st.sets(st.integers(0, 9)))))
def test_what_many_contribute_is_sorted(puts: list[tuple[str, set[int]]]) -> None:
    """Each item once, as long as anybody has it."""
    gathered, shares = Gathered[int](), dict[str, set[int]]()
    for owner, share in puts:
        gathered.put(owner, share)
        shares[owner] = share
        assert gathered.all() == tuple(sorted(set().union(*shares.values())))


@given(st.lists(st.tuples(KEYS, st.none() | st.integers())))
def test_values_in_the_order_of_their_keys(edits: list[tuple[str, int | None]]) -> None:
    """Whatever came and went, as a sorted mapping has them."""
    ordered, plain = Ordered[str, int](), dict[str, int]()
    for key, value in edits:
        if value is None:
            ordered.drop(key)
            plain.pop(key, None)
        else:
            ordered.put(key, value)
            plain[key] = value
        assert ordered.all() == tuple(plain[known] for known in sorted(plain))
        assert ordered.first() == (ordered.all() or (None,))[0]


def test_a_change_alone_goes_at_once() -> None:
    """While changes go on, passes keep apart, more and more, and as long as they take; a calm ends that."""
    gathering = Gathering()
    assert gathering.wait(10.0) == 0.0
    gathering.passed(10.0, 10.0)
    waits = []
    for _ in range(8):
        waits.append(gathering.wait(10.0))
        gathering.passed(10.0, 10.0)
    assert waits == sorted(waits)
    assert FIRST_GAP < waits[0] < waits[-1] == LONGEST_GAP
    assert gathering.wait(11.0 + CALM) == 0.0
    gathering.passed(20.0, 20.03)
    assert 0.0 < gathering.wait(20.04) <= 0.03


def test_objects_lose_what_nobody_reads() -> None:
    """What others wrote down goes, who wrote the status stays, and equal parts are kept once."""
    item = ingress("x", rule("x.test", ("/", "Prefix", "s")), annotations={"use-regex": "true"})
    fields = [
        {"manager": "kubectl", "fieldsV1": {}},
        {"manager": "gateway-ingress.cluster.a.b", "subresource": "status", "fieldsV1": {"f:status": {}}},
    ]
    item |= {"kind": "Ingress", "status": {"loadBalancer": {}}}
    applied = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    fat = item | {"metadata": item["metadata"] | {"managedFields": fields, "selfLink": "/x"}}
    fat["metadata"]["annotations"] = item["metadata"]["annotations"] | applied
    ours = [{"manager": "gateway-ingress.cluster.a.b", "subresource": "status"}]
    assert slim(fat) == item | {"metadata": item["metadata"] | {"managedFields": ours}}
    ports, ready = [{"name": "http", "port": 80}], {"ready": True, "serving": True, "terminating": False}
    one, two = (
        slim(
            {
                "kind": "EndpointSlice",
                "metadata": {"name": name, "annotations": {"a": "b"}},
                "addressType": "IPv4",
                "ports": list(ports),
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": dict(ready), "nodeName": "n", "zone": "z"}],
            }
        )
        for name in "ab"
    )
    assert one["ports"] is two["ports"]
    assert one["endpoints"] == [{"addresses": ["10.0.0.1"], "conditions": ready}]
    assert one["endpoints"][0]["conditions"] is two["endpoints"][0]["conditions"]
    assert one["metadata"]["annotations"] == {"a": "b"}
