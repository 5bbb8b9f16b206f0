"""Addresses of labs and clusters: none may overlap, on one machine or in one flat network."""

from __future__ import annotations

import ipaddress
import itertools

import pytest

from lab.addresses import CLUSTERS, LABS, cluster_plans, lab_plan
from lab.errors import LabError

INTERFACE_NAME_LIMIT = 15


def test_no_two_ranges_of_a_machine_overlap():
    """All pod, service and node ranges of all labs and clusters are disjoint."""
    labs = [lab_plan("a-lab", index) for index in range(LABS)]
    names = [f"c{position}" for position in range(CLUSTERS)]
    plans = [plan for lab in labs for plan in cluster_plans(lab, names)]
    cidrs = [lab.node_cidr for lab in labs] + [cidr for plan in plans for cidr in (plan.pod_cidr, plan.service_cidr)]
    ranges = sorted(map(ipaddress.ip_network, cidrs))
    assert not [pair for pair in itertools.pairwise(ranges) if pair[0].overlaps(pair[1])]


def test_node_addresses_lie_in_the_labs_network():
    """Each node has an address of its own beside the host's."""
    lab = lab_plan("demo", 3)
    addresses = [plan.node_ip for plan in cluster_plans(lab, ["centre", "wuhan"])]
    assert addresses == ["10.201.3.11", "10.201.3.12"]
    assert lab.gateway == "10.201.3.1"


def test_service_addresses():
    """The API server has the first virtual address and the DNS the tenth."""
    [plan] = cluster_plans(lab_plan("demo", 1), ["centre"])
    assert (plan.service_ip, plan.dns_ip) == ("10.230.16.1", "10.230.16.10")


def test_interface_names_fit_the_kernel():
    """The longest interface name is within Linux's limit."""
    plans = cluster_plans(lab_plan("demo", LABS - 1), [f"c{n}" for n in range(CLUSTERS)])
    assert max(len(plan.veth) for plan in plans) <= INTERFACE_NAME_LIMIT


@pytest.mark.parametrize("names", [[], ["a", "a"], [f"c{n}" for n in range(CLUSTERS + 1)], ["Centre"], ["a/b"], ["-a"]])
def test_bad_names_are_refused(names):
    """Names that are doubled, too many or unfit for paths and hosts are told."""
    with pytest.raises(LabError):
        cluster_plans(lab_plan("demo", 0), names)


def test_too_many_labs_are_refused():
    """A lab beyond the last slice of addresses is told."""
    with pytest.raises(LabError, match="at most"):
        lab_plan("demo", LABS)
