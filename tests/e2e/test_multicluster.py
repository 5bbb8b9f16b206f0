"""One policy over three real clusters: shares, cuts, crashes, rotation, conflicts; counted from the pods' own words."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator

import pytest

from lab import load
from lab.demo import clusters
from lab.demo.story import OPERATOR_NAMESPACE
from tests.e2e import members
from tests.e2e.conftest import KEEP
from tests.e2e.members import World

NAME = f"{KEEP}-multi" if KEEP else f"multi{os.environ.get('PYTEST_XDIST_WORKER', '')}"
EVEN = {"wuhan": 50, "zhuhai": 50}
LOST = "zhuhai"
RATE = 200


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The three clusters of this file."""
    with members.world(NAME, keep=bool(KEEP)) as found:
        yield found


@pytest.fixture(autouse=True)
def _clean(world: World) -> Iterator[None]:
    yield
    world.target.kubectl("delete", "ctp", "--all", "-n", "default", "--timeout=300s")


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param({"wuhan": 80, "zhuhai": 20}, id="80-20"),
        pytest.param({"wuhan": 70, "zhuhai": 20, "centre": 10}, id="70-20-10", marks=pytest.mark.long),
        pytest.param({"wuhan": 99, "zhuhai": 1}, id="99-1", marks=pytest.mark.long),
    ],
)
def test_shares_are_the_weights(world: World, weights: dict[str, int]) -> None:
    """Of 20,000 requests each cluster answers its share, within three standard deviations."""
    way = world.served("cafe", weights)
    world.target.wait("all of them answer", lambda: set(load.count(way, 500)) >= set(weights))
    draws = [load.count(way, 20_000)]
    if not members.within(draws[0], weights):  # one draw in a few hundred lies outside, two in a row never
        draws.append(load.count(way, 20_000))
    assert members.within(draws[-1], weights), draws
    said = members.explain(world.target, "cafe")
    assert said.returncode == 0, said.stderr
    for name, weight in weights.items():
        assert any(name in line and f"{weight}.00%" in line for line in said.stdout.splitlines()), said.stdout


def test_requests_arrive_as_they_were_sent(world: World) -> None:
    """Query, escaped slashes and bodies are the client's, whichever cluster answers."""
    path, body = "/tea/a%2Fb/%20?x=1&y=%2F&z", bytes(range(256)) * 4
    world.served("cafe", EVEN)
    seen = set()
    for _ in range(40):
        answer = load.ask(world.way("cafe", path), "POST", body)
        told = json.loads(answer.body)
        assert (told["method"], told["path"]) == ("POST", path)
        assert (told["body_bytes"], told["body_sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
        seen.add(answer.cluster)
    assert seen == set(EVEN)


def test_a_silent_cut_costs_no_request(world: World) -> None:
    """While a member's packets are dropped every GET is answered; the member gets its share again afterwards."""
    way = world.served("cafe", EVEN)
    traffic = load.Steady(way, RATE)
    with traffic.flowing():
        time.sleep(1)
        with world.cut(LOST):
            cut = time.monotonic()
            world.target.wait("the member is left out", lambda: _answering(traffic) == {"wuhan"})
            time.sleep(2)
        world.target.wait("it answers again", lambda: LOST in _answering(traffic))
    assert members.failures(traffic.answers) == {}
    assert traffic.between(cut, cut + 1)
    world.target.wait("its share is back", lambda: members.within(load.count(way, 1000), EVEN))


@pytest.mark.long
def test_a_silent_cut_is_short(world: World) -> None:
    """Requests sent a second after the cut take at most 1.2 s, earlier ones 3 s; the shares return within 2 s."""
    way = world.served("cafe", EVEN)
    traffic = load.Steady(way, RATE)
    with traffic.flowing():
        time.sleep(2)
        with world.cut(LOST):
            cut = time.monotonic()
            time.sleep(6)
        healed = time.monotonic()
        time.sleep(5)
    assert members.failures(traffic.answers) == {}
    assert max(answer.took for answer in traffic.between(cut - 1, cut + 1)) <= 3
    assert max(answer.took for answer in traffic.between(cut + 1, healed)) <= 1.2
    back = load.by_cluster(traffic.between(healed + 2, healed + 5))
    assert members.within(back, EVEN, sigmas=4), back


def test_a_member_without_its_api_server_goes_on(world: World) -> None:
    """Pods are asked as before, the status says Stale, and all is well once the API server is back."""
    way = world.served("cafe", EVEN)
    traffic = load.Steady(way, 50)
    with traffic.flowing():
        world.lab[LOST].stop_api()
        try:
            world.target.wait("the member is away", lambda: world.member(LOST) == "False")
            world.target.wait("the status says so", lambda: world.states("cafe").get(LOST) == "Stale")
            stale = time.monotonic()
            time.sleep(2)
        finally:
            world.lab[LOST].start_api()
        world.target.wait("the member is back", lambda: world.member(LOST) == "True")
    assert members.failures(traffic.answers) == {}
    assert set(load.by_cluster(traffic.between(stale, stale + 2))) == set(EVEN)
    world.target.wait("it is Active again", lambda: world.states("cafe").get(LOST) == "Active")


def _without_operator(world: World, seconds: float) -> None:
    way = world.served("cafe", EVEN)
    traffic = load.Steady(way, 50)
    with traffic.flowing():
        try:
            world.target.kubectl("scale", "deployment/gateway-operator", "-n", OPERATOR_NAMESPACE, "--replicas=0")
            world.target.kubectl("delete", "pods", "--all", "-n", OPERATOR_NAMESPACE, "--grace-period=0", "--force")
            time.sleep(seconds)
        finally:
            _start_operator(world)
        time.sleep(1)
    assert members.failures(traffic.answers) == {}
    assert set(load.by_cluster(traffic.answers)) == set(EVEN)


def test_without_the_operator_traffic_goes_on(world: World) -> None:
    """Its pods are killed, and start again: no request fails."""
    _without_operator(world, 3)


@pytest.mark.long
def test_a_minute_without_the_operator(world: World) -> None:
    """Nothing fails in a minute without it, either."""
    _without_operator(world, 60)


def test_one_member_is_down_when_the_operator_starts(world: World) -> None:
    """The others are programmed; what the centre knew of the lost one stays, and it takes part when it is back."""
    world.served("before", EVEN)
    known = world.mirrored(LOST)
    assert known
    with world.cut(LOST):
        world.target.kubectl("delete", "pods", "--all", "-n", OPERATOR_NAMESPACE, "--grace-period=0", "--force")
        way = world.served("after", EVEN)
        world.target.wait("wuhan answers alone", lambda: set(load.count(way, 50)) == {"wuhan"})
        assert known.keys() <= world.mirrored(LOST).keys()
    world.target.wait("both answer", lambda: set(load.count(way, 50)) == set(EVEN))


def test_weights_change_under_load(world: World) -> None:
    """A policy is rewritten again and again, and no request of kept connections fails."""
    way = world.served("cafe", {"wuhan": 100, "zhuhai": 0})
    traffic = load.Steady(way, RATE)
    with traffic.flowing():
        for weight in range(10, 100, 10):
            world.apply("cafe", {"wuhan": 100 - weight, "zhuhai": weight})
            time.sleep(0.2)
        last = {"wuhan": 10, "zhuhai": 90}
        world.until("cafe", "Programmed")
        world.target.wait("the last weights hold", lambda: members.within(load.count(way, 1000), last))
    assert members.failures(traffic.answers) == {}


def _rotate(world: World, times: int) -> None:
    way = world.served("cafe", EVEN)
    before = world.mirrored(LOST)
    traffic = load.Steady(way, 20)
    with traffic.flowing():
        for _ in range(times):
            clusters.join(world.target, world.lab[LOST])
            assert world.mirrored(LOST) == before
    assert members.failures(traffic.answers) == {}
    assert world.member(LOST) == "True"
    tokens = world.lab[LOST].kubectl("get", "secrets", "-A", "-l", f"k8s.nginx.org/member-token={LOST}", "-o", "name")
    assert len(tokens.split()) == 1


def test_credentials_rotate(world: World) -> None:
    """New tokens are taken up and old ones taken back, and not one endpoint is written anew."""
    _rotate(world, 3)


@pytest.mark.long
def test_credentials_rotate_a_hundred_times(world: World) -> None:
    """As often as anybody could wish."""
    _rotate(world, 100)


def test_the_older_of_two_policies_wins(world: World) -> None:
    """The younger is told who has its path, and takes over when that one is gone."""
    way = world.served("older", {"wuhan": 100})
    time.sleep(1.1)  # ages are whole seconds
    world.apply("younger", {"zhuhai": 100}, host="older")
    told = world.until("younger", "Accepted", "False")
    assert told["reason"] == "Conflicted"
    assert "default/older" in told["message"]
    assert set(load.count(way, 50)) == {"wuhan"}
    assert world.conditions("older")["Accepted"]["status"] == "True"
    world.target.kubectl("delete", "ctp", "older", "-n", "default")
    world.until("younger", "Accepted")
    world.target.wait("the younger serves", lambda: set(load.count(way, 20)) == {"zhuhai"})


def test_the_older_of_a_policy_and_an_ingress_wins(world: World) -> None:
    """Both are told who has the path, whichever is older; the policy takes over when the Ingress is gone."""
    kubectl = world.target.kubectl
    host = "both.example.com"
    rule = f"{host}{members.PATH}*=tea-svc:80"
    kubectl("create", "ingress", "rival", "-n", "default", "--class=nginx", f"--rule={rule}")
    try:
        time.sleep(1.1)  # ages are whole seconds
        world.apply("both", {"zhuhai": 100})
        told = world.until("both", "Accepted", "False")
        assert told["reason"] == "Conflicted"
        assert "Ingress default/rival" in told["message"]
        world.target.wait("the Ingress hears of it", lambda: "PathContested" in _events(world, "rival"))
        way = world.way("both", members.PATH)
        world.target.wait("the Ingress serves", lambda: set(load.count(way, 20)) == {"centre"})
        kubectl("delete", "ingress", "rival", "-n", "default")
        world.until("both", "Accepted")
        world.target.wait("the policy serves", lambda: set(load.count(way, 20)) == {"zhuhai"})
        kubectl("create", "ingress", "rival", "-n", "default", "--class=nginx", f"--rule={rule}")
        world.target.wait("the policy names it", lambda: _rivals(world, "both") == ["Ingress default/rival"])
        world.target.wait("the Ingress is told", lambda: "PathConflict" in _events(world, "rival"))
        assert world.conditions("both")["Accepted"]["status"] == "True"
        assert set(load.count(way, 20)) == {"zhuhai"}
    finally:
        kubectl("delete", "ingress", "rival", "-n", "default", "--ignore-not-found")


def _events(world: World, ingress: str) -> set[str]:
    """The reasons of the Events of an Ingress."""
    path = "jsonpath={.items[*].reason}"
    chosen = f"involvedObject.kind=Ingress,involvedObject.name={ingress}"
    return set(world.target.kubectl("get", "events", "-n", "default", "--field-selector", chosen, "-o", path).split())


def _rivals(world: World, name: str) -> list[str]:
    """Who else wants a policy's first path."""
    path = "jsonpath={.status.backends[0].conflictsWith}"
    return list(json.loads(world.target.kubectl("get", "ctp", name, "-n", "default", "-o", path) or "[]"))


def _answering(traffic: load.Steady) -> set[str]:
    """Who has answered what was sent in the last half second but one."""
    now = time.monotonic()
    return set(load.by_cluster(traffic.between(now - 1, now - 0.5)))


def _start_operator(world: World) -> None:
    target = world.target
    target.kubectl("scale", "deployment/gateway-operator", "-n", OPERATOR_NAMESPACE, "--replicas=2")
    target.kubectl("rollout", "status", "deployment/gateway-operator", "-n", OPERATOR_NAMESPACE, "--timeout=300s")
