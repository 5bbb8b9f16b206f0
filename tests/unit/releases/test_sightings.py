"""What is kept of watched objects."""

from __future__ import annotations

import json

from gateway_operator.releases.objects import release_of
from gateway_operator.releases.sightings import is_slim, proven, service, slim, suspicious, whole
from managed import entry, managed

HELM = entry("helm", {"f:data": {"f:text": {}}})
STATUS = entry("kube-controller-manager", {"f:status": {}}, subresource="status")
BIG = {"kubectl.kubernetes.io/last-applied-configuration": "x" * 5000}
RELEASE = {"meta.helm.sh/release-name": "r", "meta.helm.sh/release-namespace": "ns"}


def seen(version="7", *entries, **meta):
    """An object of a release, as a watch shows it."""
    more = {"annotations": RELEASE | BIG | meta.pop("annotations", {}), "resourceVersion": version, **meta}
    return managed({"metadata": more, "spec": {"x": 1}}, *(entries or (HELM, STATUS)))


def test_little_is_kept_of_most_objects():
    """Names, version, release, and a packed proof."""
    kept = slim(seen(labels={f"l{n}": "x" * 60 for n in range(20)}))
    assert release_of(kept) == ("ns", "r")
    kept["metadata"]["proof"], kept["metadata"]["mark"] = "", ""
    assert len(json.dumps(kept)) < 400


def test_whole_objects_lose_their_owners_only():
    """And kubectl's copy of them."""
    kept = whole(seen())
    assert kept["spec"] == {"x": 1}
    assert kept["metadata"]["annotations"] == RELEASE
    assert "managedFields" not in kept["metadata"]


def test_a_proof_needs_that_no_person_wrote():
    """Controllers may."""
    text = {"f:data": {"f:text": {}}}
    assert proven(slim(seen())) == ([], [text])
    assert proven(slim(seen("7", entry("helm", text, operation="Apply")))) == ([text], [])
    assert proven(slim(seen("7", HELM, entry("my-controller", {"f:data": {"f:x": {}}})))) == ([], [text])
    assert proven(slim(seen("7", HELM, entry("kubectl-edit", {"f:data": {"f:x": {}}})))) == ([], [])
    assert proven(slim(seen("7", STATUS))) == ([], [])


def test_what_is_suspicious():
    """Deletions, late arrivals, new generations, labels and annotations; not a status, not the first list."""
    first = slim(seen("7", generation=1))
    assert suspicious("DELETED", first, first, first=False)
    assert not suspicious("ADDED", first, None, first=True)
    assert suspicious("ADDED", first, None, first=False)
    assert not suspicious("MODIFIED", slim(seen("8", generation=1)), first, first=False)
    assert suspicious("MODIFIED", slim(seen("8", generation=2)), first, first=False)
    assert suspicious("MODIFIED", slim(seen("8", generation=1, labels={"a": "b"})), first, first=False)
    assert suspicious("MODIFIED", slim(seen("8", generation=1, annotations={"a": "b"})), first, first=False)
    assert suspicious("MODIFIED", slim(seen("8")), slim(seen("7")), first=False)  # a kind without generations


def test_of_a_mirror_service_little_is_kept():
    """It has neither an address nor pods of its own; all others are held whole."""
    mirror = seen() | {"spec": {"clusterIP": "None", "ports": [{"port": 80}]}}
    assert is_slim(service(mirror))
    assert proven(service(mirror)) == proven(whole(mirror)) != ([], [])
    for spec in ({"clusterIP": "None", "selector": {"app": "x"}}, {"clusterIP": "10.96.0.1"}):
        assert not is_slim(service(mirror | {"spec": spec}))


def test_objects_of_a_release_share_their_annotations():
    """One object for all of them."""
    assert slim(seen())["metadata"]["annotations"] is slim(seen("8"))["metadata"]["annotations"]
