"""From weights to shares: who gets how much of a path's requests, now. Pure.

Shares are whole hundredths of a percent that sum to 100 %, rounded by largest remainder, in the order of the clusters'
names, so that a change of weights moves no more requests than it must.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import groupby

from gateway_operator.crds.traffic import HUNDRED_PERCENT, TrafficReason

Number = Fraction | int


class State(StrEnum):
    """What a cluster is to a path."""

    ACTIVE = "Active"  # takes requests
    STANDBY = "Standby"  # could, but a nearer or more important cluster, or its weight, says no
    EMPTY = "Empty"  # has nobody who could answer
    STALE = "Stale"  # takes requests by what was known last
    NOT_FOUND = "NotFound"  # no such cluster
    REJECTED = "Rejected"  # must not be used


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cluster as the policy and the moment describe it.

    `weight` None means in proportion to endpoints. `distance` is 0 in the gateway's own zone, 1 in its region, else 2.
    `reason` says why it is empty, where that is known; `unknown` and `rejected` ones take no part.
    """

    name: str
    weight: int | None = None
    priority: int = 0
    distance: int = 0
    ready: int = 0
    total: int = 0
    stale: bool = False
    unknown: bool = False
    rejected: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """What a cluster gets, in hundredths of a percent; `failing` is the part of it that is answered with 503."""

    name: str
    desired: int
    effective: int
    ready: int
    state: State
    reason: str = ""
    failing: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """The shares by name; `reason` says why nobody answers, or is empty."""

    shares: tuple[Share, ...]
    reason: str = ""

    @property
    def active(self) -> tuple[Share, ...]:
        """The shares that are above nothing."""
        return tuple(share for share in self.shares if share.effective)


def split(candidates: Iterable[Candidate], *, fail_on_empty: bool = False, min_ready_percent: int = 0) -> Split:
    """Share requests out. The answer's order is by name, whatever the order of `candidates`."""
    everybody = sorted(candidates, key=lambda item: item.name)
    usable = [item for item in everybody if not item.unknown and not item.rejected]
    ratio = Fraction(min_ready_percent, 100)
    desired = largest_remainder(_first_tier(usable))
    loads = _loads(usable, ratio, fail_on_empty=fail_on_empty)
    effective = largest_remainder(loads)
    shares = tuple(_share(item, desired, effective, ratio, fail_on_empty=fail_on_empty) for item in everybody)
    return Split(shares, _silence(usable, loads))


def percent(hundredths: int) -> str:
    """Write a share as `33.33%`."""
    return f"{hundredths // 100}.{hundredths % 100:02d}%"


def largest_remainder(weights: Mapping[str, Number], total: int = HUNDRED_PERCENT) -> dict[str, int]:
    """Round to whole parts of `total` that sum to it; who lost most by rounding down gets what is left, then by name.

    All weights 0 give all 0.
    """
    scale = math.lcm(*(weight.denominator for weight in weights.values()))
    counts = {name: int(weight * scale) for name, weight in weights.items()}
    whole = sum(counts.values())
    if not whole:
        return dict.fromkeys(weights, 0)
    parts = {name: count * total // whole for name, count in counts.items()}
    by_loss = sorted(counts, key=lambda name: (-(counts[name] * total % whole), name))
    for name in by_loss[: total - sum(parts.values())]:
        parts[name] += 1
    return parts


def _tiers(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    def nearness(item: Candidate) -> tuple[int, int]:
        return item.priority, item.distance

    return [list(group) for _, group in groupby(sorted(candidates, key=nearness), key=nearness)]


def _first_tier(candidates: Sequence[Candidate]) -> dict[str, int]:
    """Return what each would get if every endpoint were ready."""
    result = {item.name: 0 for item in candidates}
    for tier in _tiers(candidates):
        weights = {item.name: item.total if item.weight is None else item.weight for item in tier}
        if any(weights.values()):
            return result | weights
    return result


def _loads(candidates: Sequence[Candidate], ratio: Fraction, *, fail_on_empty: bool) -> dict[str, Number]:
    """Fill tier by tier; what a tier can't take goes on to the next.

    What nobody can take is spread over those who take something.
    """
    result: dict[str, Number] = {item.name: 0 for item in candidates}
    left: Number = 1
    reserve: dict[str, Number] = {}
    for tier in _tiers(candidates):
        parts = {item.name: _weight(item) * _capacity(item, ratio, fail=fail_on_empty) for item in tier}
        whole = sum(parts.values())
        capacity = _tier_capacity(tier, ratio) if whole else 0
        if left == capacity == 1:  # as nearly always: the first tier takes everything, and weights need no common scale
            return result | parts
        if whole:
            result |= {name: left * capacity * part / Fraction(whole) for name, part in parts.items()}
            reserve = reserve or parts
            left -= left * capacity
    if any(result.values()) or not fail_on_empty:
        return result
    return result | reserve


def _weight(item: Candidate) -> int:
    return item.ready if item.weight is None else item.weight


def _capacity(item: Candidate, ratio: Fraction, *, fail: bool) -> Number:
    """Return how much of its share a cluster can take, from 0 to 1."""
    if fail:
        return 1
    if not item.ready:
        return 0
    if not ratio or item.weight is None:  # without a weight the ready endpoints are the weight already
        return 1
    return min(Fraction(1), Fraction(item.ready, max(item.total, item.ready)) / ratio)


def _tier_capacity(tier: Sequence[Candidate], ratio: Fraction) -> Number:
    """Return how much of all requests a tier can take, from 0 to 1; clusters of weight 0 don't count."""
    counted = [item for item in tier if item.weight != 0]
    ready, total = sum(item.ready for item in counted), sum(max(item.total, item.ready) for item in counted)
    if not ready:
        return 0
    return min(Fraction(1), Fraction(ready, total) / ratio) if ratio else 1


def _silence(usable: Sequence[Candidate], loads: Mapping[str, Number]) -> str:
    """Say why nobody answers, or nothing."""
    if usable and all(item.weight == 0 for item in usable):
        return TrafficReason.ALL_WEIGHTS_ZERO
    if not any(loads[item.name] for item in usable if item.ready):
        return TrafficReason.NO_READY_ENDPOINTS
    return ""


def _share(
    item: Candidate,
    desired: Mapping[str, int],
    effective: Mapping[str, int],
    ratio: Fraction,
    *,
    fail_on_empty: bool,
) -> Share:
    got = effective.get(item.name, 0)
    state, reason = _state(item, got, ratio)
    failing = fail_on_empty and got > 0 and not item.ready
    return Share(item.name, desired.get(item.name, 0), got, item.ready, state, reason, failing)


def _state(item: Candidate, got: int, ratio: Fraction) -> tuple[State, str]:
    if item.unknown:
        return State.NOT_FOUND, item.reason or TrafficReason.CLUSTER_NOT_FOUND
    if item.rejected:
        return State.REJECTED, item.reason
    if not item.ready:
        return State.EMPTY, item.reason or TrafficReason.NO_READY_ENDPOINTS
    if item.stale:
        return State.STALE, TrafficReason.STALE
    if not got:
        return State.STANDBY, TrafficReason.WEIGHT_ZERO if item.weight == 0 else TrafficReason.STANDBY
    few = ratio and Fraction(item.ready, max(item.total, item.ready)) < ratio
    return State.ACTIVE, TrafficReason.FEW_READY_ENDPOINTS if few else ""
