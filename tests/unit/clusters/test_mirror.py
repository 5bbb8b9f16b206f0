"""The mirror's objects: names, labels, slices, and that equal states need no write."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.clusters.mirror import (
    SLICE_SIZE,
    Want,
    changes,
    mirror_name,
    pack,
    service_object,
    service_of,
    strip,
)
from gateway_operator.clusters.policies import Port, Service
from gateway_operator.clusters.store import Address
from gateway_operator.traffic.config import TOTAL_ANNOTATION

TEA = Service("shop", "tea", Port(number=80))


def want(
    addresses: tuple[Address, ...] | None, *, cluster: str = "wuhan", expired: bool = False, total: int = 0
) -> Want:
    name = mirror_name(("shop", "cafe"), TEA, cluster)
    return Want("shop", name, "cafe", "uid", TEA, cluster, 80, addresses, expired, total)


def many(count: int) -> tuple[Address, ...]:
    return tuple(Address(f"10.0.{n // 250}.{n % 250 + 1}", 8080) for n in range(count))


def done(wants: list[Want], services: dict, slices: dict) -> tuple[dict, dict]:
    """Do what `changes` says to what is there, as an API server would."""
    todo = changes({w.key: w for w in wants}, services, slices, lambda *_: None)
    services = dict(services) | {(o["metadata"]["namespace"], o["metadata"]["name"]): strip(o) for o in todo.services}
    slices = {key: dict(found) for key, found in slices.items()}
    for obj in todo.slices:
        slices.setdefault(service_of(obj), {})[obj["metadata"]["name"]] = strip(obj)
    for obj in todo.old_slices:
        del slices[service_of(obj)][obj["metadata"]["name"]]
    for obj in todo.old_services:
        del services[obj["metadata"]["namespace"], obj["metadata"]["name"]]
    return services, {key: found for key, found in slices.items() if found}


def ips(slices: dict[Any, dict[str, Any]]) -> list[str]:
    return sorted(e["addresses"][0] for found in slices.values() for item in found.values() for e in item["endpoints"])


def test_names_hold_no_text_of_users_and_never_meet():
    """`a-b`+`c` and `a`+`b-c` are different, as are ports, clusters and policies."""
    names = {
        mirror_name(("shop", "cafe"), TEA, "a"),
        mirror_name(("shop", "cafe"), TEA, "b"),
        mirror_name(("shop", "cafe"), Service("shop", "tea", Port(name="80")), "a"),
        mirror_name(("shop-cafe", "x"), TEA, "a"),
        mirror_name(("shop", "cafe-x"), TEA, "a"),
    }
    assert len(names) == 5
    assert all(name.startswith("ctp-") and len(name) <= 50 for name in names)


def test_labels_and_owner():
    """Those of the Multi-Cluster Services API; the policy owns it, so it goes with the policy."""
    obj = service_object(want(many(1)))
    labels = obj["metadata"]["labels"]
    assert labels["multicluster.kubernetes.io/service-name"] == "tea"
    assert labels["multicluster.kubernetes.io/source-cluster"] == "wuhan"
    assert obj["spec"]["clusterIP"] == "None"
    assert "selector" not in obj["spec"]
    assert obj["metadata"]["ownerReferences"][0]["kind"] == "ClusterTrafficPolicy"


def test_slices_have_at_most_a_hundred_endpoints():
    """250 are three slices; nothing more is to be done then."""
    services, slices = done([want(many(250))], {}, {})
    assert [len(item["endpoints"]) for item in slices[want(()).key].values()] == [100, 100, 50]
    assert not changes({want(many(250)).key: want(many(250))}, services, slices, lambda *_: None)


def test_a_pod_changes_one_slice():
    """Endpoints stay in the slice that has them."""
    services, slices = done([want(many(250))], {}, {})
    swapped = tuple(sorted((*many(250)[1:], Address("10.9.9.9", 8080))))
    todo = changes({want(swapped).key: want(swapped)}, services, slices, lambda *_: None)
    assert (len(todo.services), len(todo.slices), len(todo.old_slices)) == (0, 1, 0)


def test_ports_and_families_have_slices_of_their_own():
    """A slice has one port and one address type."""
    mixed = (Address("10.0.0.1", 80), Address("10.0.0.2", 81), Address("fd00::1", 80))
    _, slices = done([want(mixed)], {}, {})
    assert {(item["addressType"], item["ports"][0]["port"]) for item in slices[want(()).key].values()} == {
        ("IPv4", 80),
        ("IPv4", 81),
        ("IPv6", 80),
    }


def totals(slices: dict[Any, dict[str, Any]]) -> list[str]:
    found = [
        item["metadata"]["annotations"].get(TOTAL_ANNOTATION) for here in slices.values() for item in here.values()
    ]
    return [text for text in found if text]


def test_the_number_of_all_endpoints_is_told_once():
    """One slice has it, also where nobody is ready; it moves with that slice and stays while the member is away."""
    services, slices = done([want(many(250), total=300)], {}, {})
    assert totals(slices) == ["300"]
    [rows] = slices.values()
    first = min(rows)
    moved = {key: {name: item for name, item in rows.items() if name != first} for key in slices}
    services, again = done([want(many(250)[100:], total=150)], services, moved)
    assert totals(again) == ["150"]
    services, back = done([want(many(250), total=300)], services, again)
    assert totals(back) == ["300"]
    services, empty = done([want((), total=4)], services, back)
    assert (totals(empty), ips(empty)) == (["4"], [])
    assert not changes({want((), total=4).key: want((), total=4)}, services, empty, lambda *_: None)
    gone = want(None, expired=True)
    assert not changes({gone.key: gone}, services, empty, lambda *_: None)


def test_what_isn_t_known_yet_stays():
    """Before the first sync nothing is taken away; with the sync the truth comes."""
    services, slices = done([want(many(3))], {}, {})
    assert not changes({want(None).key: want(None)}, services, slices, lambda *_: None)
    _, after = done([want(())], services, slices)
    assert after == {}


def test_past_the_stale_ttl_only_the_dead_go():
    """What probes don't call dead stays, also when the member was never read by this process."""
    services, slices = done([want(many(3))], {}, {})
    gone = want(None, expired=True)
    todo = changes({gone.key: gone}, services, slices, lambda _c, address: address.ip != "10.0.0.1")
    assert [len(item["endpoints"]) for item in todo.slices] == [2]
    assert not changes({gone.key: gone}, services, slices, lambda *_: None)


def test_what_nobody_wants_goes():
    """Of another policy, or another cluster."""
    services, slices = done([want(many(3)), want(many(2), cluster="zhuhai")], {}, {})
    services, slices = done([want(many(3))], services, slices)
    assert list(services) == [want(()).key]
    assert list(slices) == [want(()).key]


def test_a_change_by_hand_is_put_back():
    """Labels and endpoints that differ are written again; what others added stays."""
    services, slices = done([want(many(1))], {}, {})
    key = want(()).key
    services[key]["metadata"]["labels"]["extra"] = "x"
    assert not changes({key: want(many(1))}, services, slices, lambda *_: None)
    services[key]["metadata"]["labels"].pop("multicluster.kubernetes.io/service-name")
    next(iter(slices[key].values()))["endpoints"] = []
    todo = changes({key: want(many(1))}, services, slices, lambda *_: None)
    assert (len(todo.services), len(todo.slices)) == (1, 1)


@given(st.lists(st.sets(st.integers(0, 300)), min_size=1, max_size=6))
def test_slices_always_hold_exactly_what_is_wanted(steps):
    """Whatever comes and goes: each endpoint once, no slice too large or empty, and a second look changes nothing."""
    services, slices = {}, {}
    everything = many(301)
    for step in steps:
        chosen = tuple(sorted(everything[n] for n in step))
        services, slices = done([want(chosen)], services, slices)
        assert ips(slices) == sorted(address.ip for address in chosen)
        sizes = [len(item["endpoints"]) for found in slices.values() for item in found.values()]
        assert all(0 < size <= SLICE_SIZE for size in sizes)
        assert len(sizes) <= 2 + 2 * len(chosen) // SLICE_SIZE
        assert not changes({want(chosen).key: want(chosen)}, services, slices, lambda *_: None)


def test_packing_nothing():
    """No addresses, no slices."""
    assert pack((), []) == []
