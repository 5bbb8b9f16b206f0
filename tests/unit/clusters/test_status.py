"""What the statuses say, from outcomes and facts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gateway_operator.clusters.evaluation import Members, Place, distance, evaluate, needed_namespaces
from gateway_operator.clusters.members import from_config_map, from_object, from_secret, merge, seconds
from gateway_operator.clusters.mirror import wants
from gateway_operator.clusters.policies import read
from gateway_operator.clusters.status import MemberFacts, member_status, policy_status
from gateway_operator.clusters.store import MemberView, strip_service, strip_slice
from gateway_operator.crds.member import MemberCluster
from gateway_operator.crds.policy import MAX_RIVALS, ClusterTrafficPolicy
from gateway_operator.crds.schema import structural_schema
from gateway_operator.crds.traffic import TrafficReason

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HERE = Place("south", "a")


def view(name: str, *ips: str, service: str = "tea", port: int = 80, **rest: Any) -> MemberView:
    key = ("shop", service)
    ports = [{"name": "http", "port": port}]
    meta = {"namespace": "shop", "name": service}
    piece = {
        "metadata": meta,
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
    }
    known = {
        "services": {key: strip_service({"metadata": meta, "spec": {"ports": ports}})},
        "slices": {key: (strip_slice(piece),)},
        "synced": frozenset({"shop"}),
    }
    return MemberView(name, **(known | rest))


def policy(*entries: dict[str, Any], **options: Any) -> dict[str, Any]:
    backend = {"service": {"name": "tea", "port": {"number": 80}}, **options}
    if entries:
        backend["clusterTrafficPolicy"] = list(entries)
    meta = {"name": "cafe", "namespace": "shop", "generation": 3, "uid": "u"}
    paths = [{"path": "/tea", "backend": backend}]
    return {"metadata": meta, "spec": {"rules": [{"host": "cafe.example.com", "http": {"paths": paths}}]}}


def outcome(obj: dict[str, Any], *views: MemberView, places: dict[str, Place] | None = None):
    members = Members({item.name: item for item in views}, places or {})
    return evaluate([read(obj)], members, HERE)[0]


def said(obj: dict[str, Any], *views: MemberView) -> dict[str, Any]:
    return policy_status(obj, outcome(obj, *views), NOW)


def condition(status: dict[str, Any], type_: str) -> tuple[str, str]:
    return next((c["status"], c["reason"]) for c in status["conditions"] if c["type"] == type_)


A, B = {"name": "a", "weight": 80}, {"name": "b", "weight": 20}


def test_all_is_well():
    """Three conditions with the generation, and each path's clusters with desired and effective shares."""
    status = said(policy(A, B), view("a", "10.0.0.1"), view("b", "10.1.0.1"))
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Accepted": "True",
        "ResolvedRefs": "True",
        "BackendsReady": "True",
    }
    assert {c["observedGeneration"] for c in status["conditions"]} == {3}
    assert status["backends"] == [
        {
            "host": "cafe.example.com",
            "path": "/tea",
            "pathType": "Prefix",
            "service": "shop/tea:80",
            "clusters": [
                {"name": "a", "desired": "80.00%", "effective": "80.00%", "ready": 1, "state": "Active"},
                {"name": "b", "desired": "20.00%", "effective": "20.00%", "ready": 1, "state": "Active"},
            ],
        }
    ]


def test_a_refusal_names_object_and_field():
    """The message leads to the line."""
    status = said(policy(A, {"name": "b"}), view("a", "10.0.0.1"))
    assert condition(status, "Accepted") == ("False", "InvalidWeight")
    assert status["message"].startswith("spec.rules[0].http.paths[0].backend.clusterTrafficPolicy:")
    assert condition(status, "BackendsReady") == ("False", "InvalidBackend")


def test_a_winner_says_who_else_wants_its_path():
    """At the path and in words; all is well with it all the same, and a flood of rivals is cut."""
    where, rivals = "spec.rules[0].http.paths[0]", [f"Ingress shop/i{n}" for n in range(20)]
    contests = [*((where, name) for name in rivals), ("spec.defaultBackend", "Ingress shop/other")]
    found = outcome(policy(A), view("a", "10.0.0.1"))
    status = policy_status(policy(A), found, NOW, contests=contests)
    assert condition(status, "Accepted") == ("True", "Accepted")
    text = next(c["message"] for c in status["conditions"] if c["type"] == "Accepted")
    assert "wanted by younger ones, too: spec.rules[0].http.paths[0] by Ingress shop/i0" in text
    assert status["backends"][0]["conflictsWith"] == rivals[:MAX_RIVALS]
    assert "conflictsWith" not in policy_status(policy(A), found, NOW)["backends"][0]


def test_unknown_clusters_and_missing_ports():
    """References that lead nowhere are told; the others take their share."""
    status = said(policy(A, B), view("b", "10.1.0.1"))
    assert condition(status, "ResolvedRefs") == ("False", "ClusterNotFound")
    assert status["backends"][0]["clusters"][1]["effective"] == "100.00%"
    status = said(policy(A, B), view("a", "10.0.0.1", port=81), view("b", "10.1.0.1"))
    assert condition(status, "ResolvedRefs") == ("False", "PortNotFound")
    assert status["backends"][0]["clusters"][0]["reason"] == "PortNotFound"


def test_nobody_is_ready():
    """503 with a reason; the policy stays accepted."""
    status = said(policy(A, B), view("a"), view("b"))
    assert condition(status, "BackendsReady") == ("False", "NoReadyEndpoints")
    assert condition(status, "Accepted")[0] == "True"
    assert condition(said(policy({"name": "a", "weight": 0}), view("a", "10.0.0.1")), "BackendsReady") == (
        "False",
        "AllWeightsZero",
    )


def test_overlapping_networks_are_told():
    """The younger member is left out, and why."""
    status = said(policy(A, B), view("a", "10.0.0.1"), view("b", "10.0.0.1"))
    assert condition(status, "ResolvedRefs") == ("False", "OverlappingCIDR")
    assert [c["effective"] for c in status["backends"][0]["clusters"]] == ["100.00%", "0.00%"]
    assert status["backends"][0]["clusters"][1]["state"] == "Rejected"


def test_every_member_that_has_the_service():
    """Without a list; one that lacks it isn't even mirrored, one that isn't read yet is kept as it is."""
    found = outcome(policy(), view("a", "10.0.0.1"), view("b", service="other"), view("c", synced=frozenset()))
    assert [(share.name, share.effective) for share in found.paths[0].split.shares] == [("a", 10000), ("c", 0)]
    assert {want.cluster: want.addresses is None for want in wants([found]).values()} == {"a": False, "c": True}


def test_local_first_by_region_and_zone():
    """Places decide only when the policy asks."""
    places = {"a": Place("north"), "b": Place("south", "b"), "c": Place("south", "a")}
    views = [view("a", "10.0.0.1"), view("b", "10.1.0.1"), view("c", "10.2.0.1")]
    near = outcome(policy(locality="LocalFirst"), *views, places=places).paths[0].split
    assert [share.effective for share in near.shares] == [0, 0, 10000]
    without = outcome(policy(locality="LocalFirst"), *views[:2], places=places).paths[0].split
    assert [share.effective for share in without.shares] == [0, 10000]
    assert outcome(policy(), *views, places=places).paths[0].split.shares[0].effective == 3334
    assert [distance(HERE, places[name]) for name in "abc"] == [2, 1, 0]
    assert distance(Place(), Place()) == 2


def test_only_needed_namespaces_are_followed():
    """Of the named members, or of all where none is named."""
    assert needed_namespaces([read(policy(A))], ["a", "b"]) == {"a": frozenset({"shop"}), "b": frozenset()}
    assert needed_namespaces([read(policy())], ["a", "b"])["b"] == frozenset({"shop"})


def test_a_condition_keeps_its_time_and_others_keep_theirs():
    """Only a change of status moves the time; conditions of other writers aren't ours to return.

    What gateways acknowledged stays as it was said while they haven't been asked.
    """
    obj, found = policy(A), outcome(policy(A), view("a", "10.0.0.1"))
    first = policy_status(obj, found, NOW, (True, TrafficReason.PROGRAMMED, "1 pod"))
    first["conditions"].append({"type": "Deployed", "status": "True"})
    later = policy_status(obj | {"status": first}, found, datetime(2027, 1, 1, tzinfo=UTC))
    assert [c["type"] for c in later["conditions"]] == ["Accepted", "BackendsReady", "Programmed", "ResolvedRefs"]
    assert {c["lastTransitionTime"] for c in later["conditions"]} == {"2026-01-02T00:00:00Z"}


def facts(**rest: Any) -> MemberFacts:
    fine = (True, TrafficReason.CONNECTED, "the API server answers")
    return MemberFacts(connected=fine, synced=fine, credential=fine, version="v1.37.0", latency=0.012, **rest)


def test_a_member_s_status():
    """What isn't known isn't there, and a latency that hardly moves is no news."""
    obj = {"metadata": {"name": "a", "generation": 2}}
    status = member_status(obj, facts(place=Place("south")), NOW)
    assert (status["region"], status["latencyMilliseconds"], "zone" in status, "stale" in status) == (
        "south",
        12,
        False,
        False,
    )
    again = member_status(obj | {"status": status | {"latencyMilliseconds": 30}}, facts(), NOW)
    assert again["latencyMilliseconds"] == 30
    stale = member_status(obj, facts(stale=True, last_contact=NOW), NOW)
    assert (stale["stale"], stale["lastContactTime"]) == (True, "2026-01-02T00:00:00Z")


def test_the_crds_know_every_field_of_a_status():
    """A field that the schema lacks would be pruned, and written again for ever."""
    member = structural_schema(MemberCluster)["properties"]["status"]["properties"]
    written = member_status(
        {"metadata": {}}, facts(stale=True, last_contact=NOW, digest="d", place=Place("r", "z", "n")), NOW
    )
    assert written.keys() <= member.keys()
    known = structural_schema(ClusterTrafficPolicy)["properties"]["status"]["properties"]
    status = said(policy(A, B), view("a"))
    assert status.keys() <= known.keys()
    backend = known["backends"]["items"]["properties"]
    assert status["backends"][0].keys() <= backend.keys()
    assert status["backends"][0]["clusters"][0].keys() <= backend["clusters"]["items"]["properties"].keys()


def test_three_sources_of_members():
    """A MemberCluster wins over a Secret, that over the ConfigMap; losers and bad names are told."""
    meta = {"name": "s", "namespace": "op", "labels": {"topology.kubernetes.io/region": "south"}}
    secret = {"metadata": meta, "data": {"kubeconfig": "YQ==", "b": "Yg==", "Bad_Name": "Yw=="}}
    obj = {"metadata": {"name": "a"}, "spec": {"kubeconfigSecretRef": {"name": "s"}, "staleTTL": "1m30s"}}
    config_map = {"metadata": {"name": "ingress-watch-cluster", "namespace": "op"}, "data": {"b": "x", "c": "y"}}
    found, remarks = merge([from_object(obj, secret), *from_secret(secret), *from_config_map(config_map)])
    assert {name: (d.source.split()[0], d.kubeconfig) for name, d in found.items()} == {
        "a": ("MemberCluster", b"a"),
        "b": ("Secret", b"b"),
        "c": ("ConfigMap", b"y"),
        "kubeconfig": ("Secret", b"a"),
    }
    assert (found["a"].stale_ttl, found["b"].place.region) == (90.0, "south")
    assert len(remarks) == 2
    assert "kubeconfig=" not in repr(found["a"])


def test_a_member_without_its_secret():
    """Absent Secret, absent key, broken base64: each its reason."""
    obj = {"metadata": {"name": "a"}, "spec": {"kubeconfigSecretRef": {"name": "s"}}}
    meta = {"name": "s", "namespace": "op"}
    assert from_object(obj, None).problem[0] == "KubeconfigNotFound"
    assert from_object(obj, {"metadata": meta, "data": {}}).problem[0] == "KubeconfigNotFound"
    assert from_object(obj, {"metadata": meta, "data": {"kubeconfig": "%"}}).problem[0] == "KubeconfigInvalid"
    local = from_object({"metadata": {"name": "a"}, "spec": {"local": True}}, None)
    assert (local.local, local.problem) == (True, None)


def test_durations():
    """As in the CRD; anything else is the default."""
    assert [seconds(text) for text in ("90s", "1h30m", "500ms", "1.5m", "x")] == [90, 5400, 0.5, 90, 600]
