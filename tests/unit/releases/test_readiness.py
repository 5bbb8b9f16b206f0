"""kstatus rules."""

from __future__ import annotations

import pytest

from gateway_operator.releases.readiness import awaited


def workload(kind, spec, status, *, generation=1):
    """A workload of apps/v1."""
    meta = {"name": "w", "generation": generation}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec, "status": status}


SEEN = {"observedGeneration": 1}
DONE = {**SEEN, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
LATE = {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (workload("Deployment", {"replicas": 2}, DONE), None),
        (workload("Deployment", {"replicas": 2}, DONE, generation=2), "has not seen the last change"),
        (workload("Deployment", {"replicas": 2}, {}), "has not seen"),
        (workload("Deployment", {}, SEEN), "0 of 1 replicas updated"),
        (workload("Deployment", {"replicas": 0}, SEEN), None),
        (workload("Deployment", {"replicas": 2}, {**DONE, "availableReplicas": 1}), "1 of 2 replicas available"),
        (workload("Deployment", {"replicas": 2}, {**DONE, "replicas": 3}), "1 old replicas"),
        (workload("Deployment", {"replicas": 2}, {**DONE, "availableReplicas": 1, "conditions": [LATE]}), "deadline"),
        (workload("DaemonSet", {}, SEEN), "not counted the nodes"),
        (workload("DaemonSet", {}, {**SEEN, "desiredNumberScheduled": 0}), None),
        (
            workload("DaemonSet", {}, {**SEEN, "desiredNumberScheduled": 2, "updatedNumberScheduled": 1}),
            "1 of 2 pods updated",
        ),
        (
            workload("DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, {**SEEN, "desiredNumberScheduled": 1}),
            "0 of 1 pods available",
        ),
        (workload("StatefulSet", {"replicas": 1}, {**SEEN, "updatedReplicas": 1, "availableReplicas": 1}), None),
        (workload("StatefulSet", {"replicas": 3}, {**SEEN, "updatedReplicas": 1}), "1 of 3 replicas updated"),
        (
            workload(
                "StatefulSet",
                {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
                {**SEEN, "updatedReplicas": 1, "availableReplicas": 3},
            ),
            None,
        ),
    ],
)
def test_workloads(obj, text):
    """Rolled out, or what is missing."""
    reason = awaited(obj)
    assert reason is None if text is None else text in (reason or "")


def custom(*, generation=1, **condition):
    """A custom resource with a Ready condition."""
    status = {"conditions": [{"type": "Ready", **condition}]} if condition else {}
    meta = {"name": "c", "generation": generation}
    return {"apiVersion": "g/v1", "kind": "C", "metadata": meta, "status": status}


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (custom(), "no Ready condition"),
        (custom(status="True", observedGeneration=1), None),
        (custom(generation=2, status="True", observedGeneration=1), "not been taken up"),
        (custom(status="False", observedGeneration=1, message="waits"), "waits"),
    ],
)
def test_custom_resources(obj, text):
    """Ready at its own generation."""
    reason = awaited(obj, watched=True)
    assert reason is None if text is None else text in (reason or "")


def test_what_is_being_deleted_is_not_ready():
    """Whatever its status still says."""
    obj = custom(status="True", observedGeneration=1)
    obj["metadata"]["deletionTimestamp"] = "now"
    assert "being deleted" in (awaited(obj, watched=True) or "")


def test_other_kinds_are_not_waited_for():
    """A ConfigMap is there when it is there."""
    assert awaited({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}) is None
