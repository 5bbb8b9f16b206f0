"""The rows of the decisions about weights: who gets how much of a path's requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.traffic.shares import Candidate, Split, State, largest_remainder, percent, split


def cluster(name: str, weight: int | None = None, ready: int = 2, total: int = 2, **rest) -> Candidate:
    return Candidate(name, weight, ready=ready, total=max(total, ready), **rest)


def effective(found: Split) -> dict[str, int]:
    return {share.name: share.effective for share in found.shares}


def desired(found: Split) -> dict[str, int]:
    return {share.name: share.desired for share in found.shares}


def state(found: Split, name: str) -> tuple[str, str]:
    return next((str(s.state), str(s.reason)) for s in found.shares if s.name == name)


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ((80, 20), (8000, 2000)),
        ((4, 1), (8000, 2000)),
        ((70, 20), (7778, 2222)),
        ((1, 1, 1), (3334, 3333, 3333)),
        ((9999, 1), (9999, 1)),
        ((100,), (10000,)),
        ((10000, 10000, 10000), (3334, 3333, 3333)),
    ],
)
def test_weights_are_relative_and_rounded_by_largest_remainder(weights, shares):
    """They needn't sum to 100: shares do, to 0.01 %."""
    names = [f"c{number}" for number in range(len(weights))]
    found = split(cluster(name, weight) for name, weight in zip(names, weights, strict=True))
    assert tuple(effective(found).values()) == shares
    assert desired(found) == effective(found)


def test_no_weights_mean_in_proportion_to_ready_endpoints():
    """All omitted: as the Multi-Cluster Services API has it."""
    found = split([cluster("a", ready=3), cluster("b", ready=1, total=3)])
    assert effective(found) == {"a": 7500, "b": 2500}
    assert desired(found) == {"a": 5000, "b": 5000}


def test_all_weights_zero():
    """Nobody answers, and it is said; no renderer ever sees a share."""
    found = split([cluster("a", 0), cluster("b", 0)])
    assert found.reason == "AllWeightsZero"
    assert found.active == ()
    assert state(found, "a") == ("Standby", "WeightZero")


def test_a_weight_of_zero_gets_nothing():
    """0/100 is allowed; the other one has everything."""
    found = split([cluster("a", 0), cluster("b", 100)])
    assert effective(found) == {"a": 0, "b": 10000}


def test_an_empty_cluster_is_spread_pro_rata():
    """`Redistribute`: 50/30/20 without the first is 60/40."""
    found = split([cluster("a", 50, ready=0), cluster("b", 30), cluster("c", 20)])
    assert effective(found) == {"a": 0, "b": 6000, "c": 4000}
    assert desired(found) == {"a": 5000, "b": 3000, "c": 2000}
    assert state(found, "a") == ("Empty", "NoReadyEndpoints")


def test_an_empty_cluster_may_fail_instead():
    """`Fail`: its share stays, and is answered with 503."""
    found = split([cluster("a", 80, ready=0), cluster("b", 20)], fail_on_empty=True)
    assert effective(found) == {"a": 8000, "b": 2000}
    assert [share.failing for share in found.shares] == [True, False]
    assert found.reason == ""


@pytest.mark.parametrize("fail", [False, True])
def test_every_cluster_empty(fail):
    """Nobody answers, for want of endpoints."""
    found = split([cluster("a", 80, ready=0), cluster("b", 20, ready=0)], fail_on_empty=fail)
    assert found.reason == "NoReadyEndpoints"


def test_no_cluster_at_all():
    """A list of unknown clusters, or no member."""
    assert split([]).reason == "NoReadyEndpoints"


@pytest.mark.parametrize("fail", [False, True])
def test_an_unknown_cluster_is_skipped_whatever_on_empty_says(fail):
    """Its share goes to the others."""
    found = split([cluster("a", 80, unknown=True), cluster("b", 20)], fail_on_empty=fail)
    assert effective(found) == {"a": 0, "b": 10000}
    assert state(found, "a") == ("NotFound", "ClusterNotFound")


def test_a_cluster_with_foreign_addresses_is_skipped():
    """Overlapping pod networks must never be programmed."""
    found = split([cluster("a", 80, ready=0, rejected=True, reason="OverlappingCIDR"), cluster("b", 20)])
    assert effective(found) == {"a": 0, "b": 10000}
    assert state(found, "a") == ("Rejected", "OverlappingCIDR")


def test_a_stale_cluster_keeps_its_share():
    """An API server that is away is no dead cluster."""
    found = split([cluster("a", 80, stale=True), cluster("b", 20)])
    assert effective(found) == {"a": 8000, "b": 2000}
    assert state(found, "a") == ("Stale", "Stale")


def test_an_empty_cluster_says_why():
    """Port and service missing count as empty, with their reason."""
    found = split([cluster("a", 80, ready=0, reason="PortNotFound"), cluster("b", 20)])
    assert state(found, "a") == ("Empty", "PortNotFound")


def test_tiers_take_over_in_order_and_give_back():
    """The smaller number first; the next only when nobody there is ready."""
    tiers = [cluster("a", 100), cluster("b", 100, priority=1), cluster("c", 100, priority=2)]
    assert effective(split(tiers)) == {"a": 10000, "b": 0, "c": 0}
    assert state(split(tiers), "b") == ("Standby", "Standby")
    without = [cluster("a", 100, ready=0), *tiers[1:]]
    assert effective(split(without)) == {"a": 0, "b": 10000, "c": 0}
    assert desired(split(without)) == {"a": 10000, "b": 0, "c": 0}


def test_weights_and_failover_together():
    """70/30 in a tier: when one goes the other has all, and the reserve nothing; when both go, the reserve has all."""
    reserve = cluster("z", 1, priority=1)
    assert effective(split([cluster("a", 70), cluster("b", 30), reserve])) == {"a": 7000, "b": 3000, "z": 0}
    assert effective(split([cluster("a", 70, ready=0), cluster("b", 30), reserve])) == {"a": 0, "b": 10000, "z": 0}
    gone = [cluster("a", 70, ready=0), cluster("b", 30, ready=0), reserve]
    assert effective(split(gone)) == {"a": 0, "b": 0, "z": 10000}


def test_near_clusters_come_first():
    """LocalFirst: zone, region, elsewhere, inside a tier."""
    near, region, far = cluster("near", distance=0), cluster("region", distance=1), cluster("far", distance=2)
    assert effective(split([far, region, near])) == {"far": 0, "near": 10000, "region": 0}
    assert effective(split([far, region, cluster("near", ready=0)])) == {"far": 0, "near": 0, "region": 10000}


def test_one_ready_pod_doesn_t_draw_all_traffic_home():
    """minReadyRatio: 1 of 30 local pods takes a thirtieth by its headroom; the rest stays away until more are ready."""
    home, away = cluster("home", ready=1, total=30), cluster("away", ready=10, total=10, distance=2)
    found = split([home, away], min_ready_percent=70)
    assert effective(found) == {"away": 9524, "home": 476}
    assert state(found, "home") == ("Active", "FewReadyEndpoints")
    assert effective(split([cluster("home", ready=21, total=30), away], min_ready_percent=70))["home"] == 10000
    assert effective(split([home, away]))["home"] == 10000


def test_the_ratio_counts_inside_a_tier_too():
    """A cluster with half of what it needs gets half of its share's weight."""
    found = split([cluster("a", 50, ready=2, total=8), cluster("b", 50, ready=8, total=8)], min_ready_percent=50)
    assert effective(found) == {"a": 3333, "b": 6667}


def test_few_ready_everywhere_still_serves_everything():
    """What no tier can take is spread over those that take something."""
    found = split([cluster("a", ready=1, total=10), cluster("b", ready=1, total=10, priority=1)], min_ready_percent=100)
    assert sum(effective(found).values()) == 10000
    assert effective(found)["a"] > effective(found)["b"]


def test_the_order_is_by_name():
    """Whoever reorders the list moves no request."""
    items = [cluster("b", 20), cluster("a", 80)]
    assert split(items) == split(reversed(items))
    assert [share.name for share in split(items).shares] == ["a", "b"]


def test_percent():
    """Shares are written with two decimals."""
    assert [percent(n) for n in (0, 5, 3333, 10000)] == ["0.00%", "0.05%", "33.33%", "100.00%"]


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(0, 10000), min_size=1, max_size=32))
def test_shares_sum_to_the_whole_and_are_near_their_weight(weights):
    """Rounding never loses a request, and nobody is off by 0.01 point or more."""
    parts = largest_remainder(weights)
    whole = sum(weights.values())
    assert sum(parts.values()) == (10000 if whole else 0)
    for name, weight in weights.items():
        assert not whole or abs(parts[name] - weight * 10000 / whole) < 1
        assert weight or not parts[name]


@given(
    st.lists(
        st.builds(
            Candidate,
            name=st.sampled_from([f"c{n}" for n in range(12)]),
            weight=st.integers(0, 100),
            priority=st.integers(0, 2),
            distance=st.integers(0, 2),
            ready=st.integers(0, 5),
            total=st.integers(0, 10),
            unknown=st.booleans(),
            rejected=st.booleans(),
        ),
        unique_by=lambda item: item.name,
    ),
    st.booleans(),
    st.integers(0, 100),
)
def test_whatever_happens_a_split_is_sound(candidates, fail, ratio):
    """All or nothing is shared out; only who may and can answer gets something."""
    found = split(candidates, fail_on_empty=fail, min_ready_percent=ratio)
    assert sum(share.effective for share in found.shares) in {0, 10000}
    by_name = {item.name: item for item in candidates}
    for share in found.active:
        item = by_name[share.name]
        assert not item.unknown
        assert not item.rejected
        assert item.weight
        assert item.ready or share.failing
    if any(c.ready and c.weight and not c.unknown and not c.rejected for c in candidates):
        assert found.reason == ""
        assert any(share.effective and not share.failing for share in found.shares) or fail
    assert {share.state for share in found.shares} <= set(State)
