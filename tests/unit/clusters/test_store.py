"""From a member's Services and slices to addresses: the rows of the decisions about backends."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_operator.clusters.policies import Port, Service
from gateway_operator.clusters.store import (
    Address,
    MemberView,
    look,
    strip_service,
    strip_slice,
    without_dead,
)

KEY = ("shop", "tea")
META = {"namespace": "shop", "name": "tea"}


def service(*ports: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": META, "spec": {"ports": list(ports), **spec}}


def endpoint(ip: str, *, ready: bool | None = True, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [ip], "conditions": {"ready": ready, **conditions}}


def piece(*endpoints: dict[str, Any], name: str = "http", port: int = 8080, family: str = "IPv4") -> dict[str, Any]:
    return {
        "metadata": META,
        "addressType": family,
        "ports": [{"name": name, "port": port, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def view(found: dict[str, Any] | None, *slices: dict[str, Any]) -> MemberView:
    services = {KEY: strip_service(found)} if found else {}
    return MemberView("wuhan", services, {KEY: tuple(map(strip_slice, slices))}, frozenset({"shop"}))


def at(port: Port) -> Service:
    return Service("shop", "tea", port)


HTTP = {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}


@pytest.mark.parametrize("port", [Port(number=80), Port(name="http")])
def test_a_port_leads_to_pods_by_its_name(port):
    """By name or number of the Service's port; what the pods listen at may differ from slice to slice."""
    found = look(view(service(HTTP), piece(endpoint("10.0.0.2")), piece(endpoint("10.0.0.1"), port=9090)), at(port))
    assert found.addresses == (Address("10.0.0.1", 9090), Address("10.0.0.2", 8080))
    assert found.port == 80


def test_a_target_port_is_no_port():
    """The number is the Service's, never the pods'."""
    found = look(view(service(HTTP), piece(endpoint("10.0.0.1"))), at(Port(number=8080)))
    assert (found.reason, found.addresses) == ("PortNotFound", ())


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (None, "ServiceNotFound"),
        (service(HTTP, type="ExternalName"), "UnsupportedType"),
        (service({"name": "dns", "port": 80, "protocol": "UDP"}), "UnsupportedProtocol"),
        (service({"name": "other", "port": 81}), "PortNotFound"),
    ],
)
def test_what_can_t_be_used_says_why(known, reason):
    """Missing, of a type or protocol that isn't carried: empty, with the cluster's name in the text."""
    found = look(view(known, piece(endpoint("10.0.0.1"))), at(Port(number=80)))
    assert (found.reason, found.addresses) == (reason, ())
    assert "wuhan" in found.text


def test_a_headless_service_is_allowed():
    """It has endpoints like any other."""
    assert look(view(service(HTTP, clusterIP="None"), piece(endpoint("10.0.0.1"))), at(Port(number=80))).addresses


def test_one_number_for_two_protocols():
    """TCP is taken."""
    both = service({"name": "udp", "port": 80, "protocol": "UDP"}, HTTP)
    assert look(view(both, piece(endpoint("10.0.0.1"))), at(Port(number=80))).addresses


def test_only_ready_ones_and_the_last_resort():
    """Not ready ones count for the total only; where nobody is ready, who still serves while it ends is taken."""
    waiting = endpoint("10.0.0.2", ready=False)
    ending = endpoint("10.0.0.3", ready=False, serving=True, terminating=True)
    found = look(view(service(HTTP), piece(endpoint("10.0.0.1"), waiting, ending)), at(Port(number=80)))
    assert (found.addresses, found.total) == ((Address("10.0.0.1", 8080),), 2)
    found = look(view(service(HTTP), piece(waiting, ending)), at(Port(number=80)))
    assert found.addresses == (Address("10.0.0.3", 8080),)
    assert look(view(service(HTTP), piece(waiting)), at(Port(number=80))).total == 1


def test_readiness_that_nobody_stated_counts():
    """As Kubernetes has it: unknown is ready."""
    assert look(view(service(HTTP), piece(endpoint("10.0.0.1", ready=None))), at(Port(number=80))).addresses


def test_publish_not_ready_addresses_is_honoured():
    """The Service's word."""
    found = view(service(HTTP, publishNotReadyAddresses=True), piece(endpoint("10.0.0.1", ready=False)))
    assert look(found, at(Port(number=80))).addresses


def test_a_pod_with_two_families_counts_once():
    """One address for each pod; where one family has nobody, the other serves."""
    both = (piece(endpoint("10.0.0.1")), piece(endpoint("fd00::1"), family="IPv6"))
    assert look(view(service(HTTP), *both), at(Port(number=80))).addresses == (Address("10.0.0.1", 8080),)
    assert look(view(service(HTTP), *both[1:]), at(Port(number=80))).addresses == (Address("fd00::1", 8080),)


@pytest.mark.parametrize("ip", ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "x"])
def test_no_traffic_to_forbidden_addresses(ip):
    """A member can't turn the gateway against itself or its cloud."""
    assert look(view(service(HTTP), piece(endpoint(ip))), at(Port(number=80))).addresses == ()


def test_dead_addresses_go_only_when_probes_say_so():
    """Probes that know nothing change nothing."""
    found = look(view(service(HTTP), piece(endpoint("10.0.0.1"), endpoint("10.0.0.2"))), at(Port(number=80)))
    words = {"10.0.0.1": False}
    assert len(without_dead(found, "wuhan", lambda _c, a: words.get(a.ip)).addresses) == 1
    assert without_dead(found, "wuhan", lambda *_: None) == found


def test_answers_are_remembered_until_forgotten():
    """A pass over thousands of Services asks anew only for what moved."""
    known = view(service(HTTP), piece(endpoint("10.0.0.1")))
    first = look(known, at(Port(number=80)))
    assert look(known, at(Port(number=80))) is first
    known.memo.clear()
    assert look(known, at(Port(number=80))) is not first


def test_what_is_kept_of_an_object():
    """Its key, version and Service; what is equal in many objects is one and the same."""
    meta = {
        "name": "tea-1",
        "namespace": "shop",
        "resourceVersion": "1",
        "labels": {"kubernetes.io/service-name": "tea"},
    }
    first, second = (strip_slice(piece(endpoint(ip)) | {"metadata": meta}) for ip in ("10.0.0.1", "10.0.0.2"))
    assert (first.key, first.version, first.service, first.ips) == (("shop", "tea-1"), "1", KEY, ("10.0.0.1",))
    assert first.ports is second.ports
    assert first.states is second.states
