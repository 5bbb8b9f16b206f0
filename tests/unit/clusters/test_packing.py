"""What is kept of the centre's objects: small, and all that is asked of them later."""

from __future__ import annotations

from gateway_operator.clusters.mirror import Want, slice_object, strip
from gateway_operator.clusters.packing import pack_policy, pack_slice
from gateway_operator.clusters.policies import Port, Service, read

POLICY = {
    "apiVersion": "k8s.nginx.org/v1",
    "kind": "ClusterTrafficPolicy",
    "metadata": {
        "name": "cafe",
        "namespace": "shop",
        "uid": "u",
        "resourceVersion": "7",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": {"defaultBackend": {"service": {"name": "tea", "port": {"number": 80}}}},
    "status": {"message": "1 paths are served"},
}


def test_a_slice_is_the_same_after_unpacking():
    """All that is compared; in a third of the bytes."""
    want = Want("shop", "ctp-1", "cafe", "u", Service("shop", "tea", Port(number=80)), "wuhan", 80, ())
    obj = slice_object(want, "ctp-1-0", ("IPv4", 8080), ["10.1.0.1", "10.1.0.2"], 2)
    obj["metadata"] |= {"uid": "0d2f6a1e-9f5e-4c1b-8d5c-0a4f4f8b1c11", "resourceVersion": "8", "managedFields": [{}]}
    kept = pack_slice(obj)
    assert (kept.key, kept.version, kept.service) == (("shop", "ctp-1-0"), "8", ("shop", "ctp-1"))
    assert kept.unpack() == strip(obj)
    assert len(kept.content) * 3 < len(str(strip(obj)))


def test_a_policy_reads_the_same_after_unpacking():
    """Rules and status stay; who owns which field goes."""
    kept = pack_policy(POLICY)
    assert (kept.key, kept.version, kept.leaves) == (("shop", "cafe"), "7", False)
    assert read(kept.unpack()) == read(POLICY)
    assert kept.unpack()["status"] == POLICY["status"]
    assert "managedFields" not in kept.unpack()["metadata"]
    assert pack_policy(POLICY | {"metadata": POLICY["metadata"] | {"deletionTimestamp": "now"}}).leaves


def test_a_new_status_asks_for_nothing():
    """What a policy wants is compared by its bytes, so that a status that was written reads no policy anew."""
    told = POLICY | {"metadata": POLICY["metadata"] | {"resourceVersion": "8"}, "status": {"message": "new"}}
    assert pack_policy(told).asked == pack_policy(POLICY).asked
    assert pack_policy(told).status != pack_policy(POLICY).status
    changed = POLICY | {"metadata": POLICY["metadata"] | {"generation": 4}}
    assert pack_policy(changed).asked != pack_policy(POLICY).asked
