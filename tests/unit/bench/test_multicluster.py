"""The multi-cluster benchmark's plan and arithmetic."""

from __future__ import annotations

import ipaddress
import math

from bench.dataplane.network import RANGE, new_pod
from bench.multicluster import ORDER, accuracy
from bench.multicluster.clusters import Plan
from bench.multicluster.cut import _back
from bench.multicluster.run import PARTS
from lab.load import Answer


def test_parts_are_those_of_the_page() -> None:
    """Each part that can be asked for can be measured."""
    assert set(ORDER) == set(PARTS)


def test_no_pod_is_in_two_clusters() -> None:
    """Twenty members over four API servers: each has its own addresses, and a namespace of its own on its server."""
    plan = Plan(20, 4, 1000)
    members = plan.all()
    addresses = [pod for member in members for service in range(plan.services) for pod in member.pods(service)]
    assert len(addresses) == len(set(addresses))
    assert len({(member.api, member.namespace) for member in members}) == len(members)
    assert {member.namespace for member in members} == set(plan.namespaces)
    last = ipaddress.IPv4Address(addresses[-1])
    assert last in RANGE
    assert last < ipaddress.IPv4Address(new_pod(0))
    assert [m.name for m in members if m.owns(str(last), plan.services)] == [members[-1].name]


def test_the_corpus_is_fixed() -> None:
    """Keys look like request ids, and are the same in every run."""
    assert list(accuracy.keys(2)) == ["cfcd208495d565ef66e7dff9f98764da", "c4ca4238a0b923820dcc509a6f75849b"]


def test_shares_are_back_when_half_of_a_second_is_the_members() -> None:
    """The seconds count from the end of the cut to the first window with the right shares."""
    ours, other = Plan(2, 2, 1).all()
    healed = 100.0

    def answers(from_: float) -> list[Answer]:
        """Answers every 5 ms, half of them by the second member from a moment on."""
        times = [healed + n / 200 for n in range(1200)]
        return [
            Answer(at, 0.001, 200, (other if at >= healed + from_ and n % 2 else ours).pods(0)[0])
            for n, at in enumerate(times)
        ]

    assert _back(answers(0.0), other, 1, healed) == 0
    assert 1.0 <= _back(answers(1.5), other, 1, healed) <= 1.5
    assert _back(answers(math.inf), other, 1, healed) == math.inf
