"""The pure parts of the data plane's benchmark."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace

import pytest

from bench.dataplane import ORDER, handwritten, network, run, sites, throughput
from bench.dataplane.admission import review
from bench.dataplane.throughput import Duet, Side
from bench.dataplane.wrk import Figures, Load, read
from gateway_operator.networks import is_routable
from lab.errors import LabError


def figures(rate: float, p99: float = 1.0, **failed: int) -> Figures:
    """One second of load."""
    return Figures(int(rate), 1.0, p99 / 2, p99, {"read": 0} | failed)


def test_every_part_can_be_run():
    """The order names just the parts that there are."""
    assert set(run.PARTS) == set(ORDER)


def test_pods_have_addresses_that_the_controller_allows():
    """All lie in the range that is local to the benchmark's network, and no two are the same."""
    old = [pod for site in [*sites.sites(10_000), *sites.secure_sites()] for pod in site.pods]
    new = [network.new_pod(n) for n in range(1000)]
    assert len({*old, *new}) == len(old) + len(new)
    assert all(ipaddress.ip_address(pod) in network.RANGE and is_routable(pod) for pod in (old[0], old[-1], new[-1]))


def test_a_site_is_an_ingress_with_three_paths_to_its_own_pods():
    """Service, slice and Ingress bear the site's name; only secure sites ask for TLS."""
    site = sites.Site(7)
    kinds = {resource.kind: obj for resource, obj in sites.objects(site)}
    assert {obj["metadata"]["name"] for obj in kinds.values()} == {"site-00007"}
    assert [p["path"] for p in kinds["Ingress"]["spec"]["rules"][0]["http"]["paths"]] == ["/", "/api", "/static"]
    assert tuple(e["addresses"][0] for e in kinds["EndpointSlice"]["endpoints"]) == site.pods
    assert "tls" not in kinds["Ingress"]["spec"]
    secure = sites.Site(7, secure=True)
    ingress = {resource.kind: obj for resource, obj in sites.objects(secure)}["Ingress"]
    assert ingress["spec"]["tls"][0]["hosts"] == [secure.host]
    assert not {*secure.pods} & {*site.pods}


def test_the_file_by_hand_serves_the_same_routes():
    """Each site has a server, three locations and an upstream with its three pods."""
    chosen = sites.sites(3)
    text = handwritten.nginx_conf(
        chosen,
        folder="/f",
        ports=handwritten.Ports(1080, 1443),
        certificate="/c",
        key="/k",
        ciphers="ECDHE",
        keepalive=7,
    )
    assert text.count("proxy_pass http://site-") == 9
    assert all(
        f"server_name {site.host};" in text and f"server {site.pods[2]}:8080 max_fails=0;" in text for site in chosen
    )
    assert text.count("{") == text.count("}")


def test_the_figures_are_found_in_what_wrk_writes():
    """The line in JSON counts; all kinds of failures are summed; no request at all is an error."""
    line = '{"requests": 20, "seconds": 2.0, "p50": 1.0, "p99": 3.0, '
    line += '"connect": 1, "read": 2, "write": 0, "status": 3, "timeout": 0}'
    found = read(f"Running 2s test\n  20 requests\n\n{line}\n")
    assert (found.rate, found.p99, found.failures) == (10, 3.0, 6)
    with pytest.raises(LabError, match="unable to connect"):
        read("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_steady_load_pauses_between_requests():
    """64 connections with 8 ms between two requests make about 8,000 a second."""
    load = Load(80, [("a", "/")]).steady(8000, 64)
    assert (load.connections, load.pause) == (64, 8)


def duet(gateway: Figures, hand: float = 100, busy: float = 0.5, stolen: float = 0.0) -> Duet:
    """A gateway with half a processor beside the hand-written file with the other half."""
    return Duet(Side(gateway, busy), Side(figures(hand), 0.5), stolen)


def test_throughput_is_the_median_of_the_ratios_within_duets():
    """A duet in which the whole machine was slow changes nothing; failed requests of ours are summed."""
    duets = {
        "static": {0: duet(figures(96)), 1: duet(figures(49, read=2), hand=50, busy=0.25), 2: duet(figures(97))},
        "peer": {1: duet(figures(10), hand=50)},
    }
    rates, thrift, latency, failed = throughput.rows_of("HTTP", duets, "peer")
    assert (rates.ours, rates.mark, rates.holds, rates.peer) == (0.97, 0.95, True, None)
    assert (thrift.ours, thrift.mark) == (0.97, None)
    assert (latency.ours, latency.better, latency.holds) == (1.0, "lower", None)
    assert (failed.ours, failed.peer, failed.holds) == (2, 0, False)


def test_duets_that_the_host_spoiled_are_played_again():
    """A duet counts when the host took little, and when requests failed in it, however much the host took."""
    assert throughput.worth_another(duet(figures(100), stolen=0.06))
    assert not throughput.worth_another(duet(figures(100), stolen=0.05))
    assert not throughput.worth_another(duet(figures(100, read=1), stolen=0.3))


def test_the_peer_stands_beside_ours_with_metrics():
    """It is run with its metrics on, so it is compared with ours that has them on."""
    duets = {"peer": {0: duet(figures(47))}, "dynamic with metrics": {0: duet(figures(70))}}
    rates = throughput.rows_of("HTTP", duets, "peer")[0]
    assert (rates.ours, rates.peer, rates.mark, rates.holds) == (0.7, 0.47, 0.65, True)


def test_nobody_always_comes_after_the_same_one():
    """Every other round goes backwards; peers play in every third."""
    gateways = [SimpleNamespace(name=name) for name in ("static", "dynamic", "peer")]
    order = [[one.name for one in throughput.playing(gateways, number)] for number in range(4)]
    assert order == [
        ["static", "dynamic", "peer"],
        ["dynamic", "static"],
        ["static", "dynamic"],
        ["peer", "dynamic", "static"],
    ]


def test_reviews_ask_for_new_hosts():
    """No two reviews are about the same Ingress, and each is what the API server would send."""
    first, second = review(1), review(2)
    assert first["kind"] == "AdmissionReview"
    assert first["request"]["uid"] != second["request"]["uid"]
    hosts = {one["request"]["object"]["spec"]["rules"][0]["host"] for one in (first, second)}
    assert len(hosts) == 2
