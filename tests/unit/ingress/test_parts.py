"""Small parts with rules of their own: addresses, quarantine, CPUs, status pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway_operator.ingress import addresses
from gateway_operator.ingress.cgroup import available_cpus
from gateway_operator.ingress.memo import Gathered, Memo
from gateway_operator.ingress.metrics import Metrics, NginxNumbers, parse_stub_status
from gateway_operator.ingress.planner import Compiled
from gateway_operator.ingress.quarantine import Quarantine, blame, find_by_halving
from gateway_operator.ingress.registry import Registry
from gateway_operator.ingress.render.static import Rendered
from tests.nginx.objects import ingress


def balancer(*given: dict[str, Any], kind: str = "LoadBalancer", **spec: Any) -> dict[str, Any]:
    """A Service with a load balancer's answer."""
    return {
        "spec": {"type": kind, "clusterIP": "10.96.0.9", **spec},
        "status": {"loadBalancer": {"ingress": list(given)}},
    }


def test_addresses_of_services() -> None:
    """Each type of Service has upstream's rule."""
    read = addresses.from_service
    assert read(balancer({"ip": "2.2.2.2"}, {"hostname": "lb.test"}, externalIPs=["3.3.3.3"])) == [
        {"hostname": "lb.test"},
        {"ip": "2.2.2.2"},
        {"ip": "3.3.3.3"},
    ]
    assert read(balancer()) == []
    assert read(balancer(kind="ClusterIP")) == read(balancer(kind="NodePort")) == [{"ip": "10.96.0.9"}]
    assert read(balancer(kind="NodePort", externalIPs=["3.3.3.3"])) == [{"ip": "3.3.3.3"}]
    assert read(balancer(kind="ExternalName", externalName="x.test")) == [{"hostname": "x.test"}]
    assert read(None) == []


def test_addresses_of_nodes() -> None:
    """Nodes of ready pods, the outer address first; without rights on nodes the pod's own word."""
    ready = {"phase": "Running", "hostIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    pods = [
        {"metadata": {}, "spec": {"nodeName": "n1"}, "status": ready},
        {"metadata": {}, "spec": {"nodeName": "n2"}, "status": ready | {"conditions": []}},
        {"metadata": {"deletionTimestamp": "now"}, "spec": {"nodeName": "n3"}, "status": ready},
    ]
    named = [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "ExternalIP", "address": "4.4.4.4"}]
    nodes = {"n1": {"status": {"addresses": named}}}
    assert addresses.from_pods(pods, nodes, internal=False) == [{"ip": "4.4.4.4"}]
    assert addresses.from_pods(pods, nodes, internal=True) == [{"ip": "10.0.0.1"}]
    assert addresses.from_pods(pods, None, internal=False) == [{"ip": "10.0.0.1"}]


def test_equal_statuses_need_no_write() -> None:
    """Order and ports don't make a difference."""
    wanted = addresses.from_flag("1.1.1.1, lb.test")
    assert addresses.same([{"hostname": "lb.test", "ports": []}, {"ip": "1.1.1.1"}], wanted)
    assert not addresses.same([{"ip": "1.1.1.1"}], wanted)


def test_blame_follows_file_and_line() -> None:
    """nginx's complaint leads to an Ingress by the line, or by the host when only one has it."""
    file = "servers/" + "a" * 16 + ".conf"
    index = {"a" * 16: {"ingresses": ["i1", "i2"]}, "i1": {"uid": "u1"}, "i2": {"uid": "u2"}}
    rendered = Rendered({}, {file: ((1, ""), (10, "i1"), (20, "i2"))})
    compiled = Compiled(None, index)  # type: ignore[arg-type]

    def blamed(line: int) -> str:
        return blame(compiled, rendered, f"nginx: [emerg] bad thing in /run/gateway/gen-1/{file}:{line}\n")

    assert [blamed(line) for line in (12, 25, 3)] == ["u1", "u2", ""]
    assert blame(compiled, rendered, "nginx: [emerg] no memory") == ""


async def test_halving_finds_the_one() -> None:
    """The guilty one is found in few trials, and nobody is blamed when none alone is."""
    trials = 0

    async def fails(kept: frozenset[str]) -> bool:
        nonlocal trials
        trials += 1
        return "u37" in kept

    everybody = [f"u{number}" for number in range(100)]
    assert await find_by_halving(everybody, fails) == "u37"
    assert trials <= 9
    assert await find_by_halving(everybody[:37], fails) == ""


def test_quarantine_ends_with_a_change() -> None:
    """A new generation or annotation gets a new chance; a written status doesn't."""
    item = ingress("one")
    item["metadata"]["generation"] = 1
    quarantine = Quarantine()
    quarantine.hold(item, "nginx: [emerg] 1#1: host not found in /run/gateway/gen-1/x.conf:1")
    assert quarantine.admitted([item])[1] == {item["metadata"]["uid"]}
    assert "host not found" in quarantine.problems[0].message
    assert "/run" not in quarantine.problems[0].message
    item["metadata"]["resourceVersion"] = "999"
    assert quarantine.admitted([item])[1]
    item["metadata"]["generation"] = 2
    assert not quarantine.admitted([item])[1]
    assert not quarantine.problems


def test_who_waits_keeps_the_last_good_form() -> None:
    """Until judged or changed: with a good form that is built, without one nothing; who is held waits no more."""
    old, new, fresh = ingress("one"), ingress("one"), ingress("two")
    for generation, item in enumerate((old, new, fresh), 1):
        item["metadata"]["generation"] = generation
    uid = old["metadata"]["uid"]
    new["metadata"]["uid"] = uid
    quarantine = Quarantine()
    quarantine.let_wait(new, old)
    quarantine.let_wait(fresh, None)
    assert quarantine.admitted([new, fresh]) == ((old, fresh), {fresh["metadata"]["uid"]})
    assert quarantine.waiting([new, fresh]) == [new, fresh]
    quarantine.hold(fresh, "[emerg] no")
    quarantine.admit(uid)
    assert quarantine.admitted([new, fresh]) == ([new, fresh], {fresh["metadata"]["uid"]})
    quarantine.let_wait(new, old)
    new["metadata"]["generation"] = 9
    assert quarantine.admitted([new, fresh])[0] == [new, fresh]
    assert not quarantine.waits


def test_cpus_of_both_cgroup_versions(tmp_path: Path) -> None:
    """A quota counts, rounded up; without one the scheduler's word."""
    everything = available_cpus(tmp_path)
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert available_cpus(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert available_cpus(tmp_path) == everything
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert available_cpus(tmp_path) == 1


def test_stub_status_and_metric_names() -> None:
    """nginx's page becomes upstream's metrics; anything else becomes nothing."""
    page = "Active connections: 3 \nserver accepts handled requests\n 10 9 20 \nReading: 0 Writing: 1 Waiting: 2 \n"
    numbers = parse_stub_status(page)
    assert numbers == {
        "active": 3,
        "accepted": 10,
        "handled": 9,
        "requests": 20,
        "reading": 0,
        "writing": 1,
        "waiting": 2,
    }
    assert parse_stub_status("<html>404</html>") == {}
    metrics = Metrics(controller_class="c", namespace="n", pod="p", version="1")
    metrics.take_nginx(NginxNumbers(numbers))
    prefix = "nginx_ingress_controller_nginx_process"
    own = {"controller_class": "c", "controller_namespace": "n", "controller_pod": "p"}
    assert metrics.registry.get_sample_value(f"{prefix}_requests_total", own) == 20
    assert metrics.registry.get_sample_value(f"{prefix}_connections", own | {"state": "waiting"}) == 2
    assert metrics.registry.get_sample_value(f"{prefix}_connections_total", own | {"state": "handled"}) == 9


def test_memo_computes_once_an_object() -> None:
    """A result lives as long as the very same object stands under its key."""
    asked: list[str] = []
    memo = Memo[str](lambda obj: asked.append(obj["metadata"]["resourceVersion"]) or "x")
    item, key = ingress("one"), ("apps", "one")
    for _ in range(3):
        memo(key, item)
    assert len(asked) == 1
    memo(key, dict(item))
    assert len(asked) == 2
    memo.forget([key])
    memo(key, item)
    assert len(asked) == 3


def test_sums_are_made_when_a_share_changes() -> None:
    """Everybody's items count once, in order, and an owner without items is forgotten."""
    sums = Gathered[str]()
    sums.put("a", ["y", "x"])
    sums.put("b", ["x"])
    assert sums.all() == ("x", "y")
    kept = sums.all()
    sums.put("b", ("x",))
    assert sums.all() is kept
    sums.put("a", ())
    assert sums.all() == ("x",)


def test_registries_count_their_users() -> None:
    """A value lives while somebody needs it, and the list is sorted by id."""
    registry = Registry[str]()
    registry.swap({}, {"b": "B", "a": "A"})
    registry.swap({}, {"a": "A"})
    assert registry.all() == ("A", "B")
    registry.swap({"b": "B", "a": "A"}, {})
    assert registry.all() == ("A",)
    registry.swap({"a": "A"}, {"c": "C"})
    assert registry.all() == ("C",)
