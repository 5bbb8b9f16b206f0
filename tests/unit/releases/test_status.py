"""The status of a custom resource."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway_operator.gateways.verdicts import Notice, Refusal
from gateway_operator.releases.names import STATUS_MANAGER
from gateway_operator.releases.status import Deployed, Fault, Outcome, build_status, differs

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEPLOYED = Deployed("web", 2, "web-1.0", "digest")


def build(outcome, obj=None, *, now=NOW, keep_others=False):
    """Build a status for generation 1."""
    return build_status(obj or {"metadata": {"namespace": "ns"}}, outcome, now=now, keep_others=keep_others)


def condition(status, type_):
    """One condition as (status, reason, message)."""
    [found] = [c for c in status["conditions"] if c["type"] == type_]
    return found["status"], found["reason"], found["message"]


def fine(**more):
    """An outcome with nothing wrong."""
    return Outcome(generation=1, deployed=DEPLOYED, current=True, **more)


def test_everything_fine():
    """Deployed, Ready, the release, no failure."""
    status = build(fine())
    assert condition(status, "Ready")[:2] == ("True", "Ready")
    assert condition(status, "Deployed")[:2] == ("True", "UpgradeSuccessful")
    assert condition(status, "ReleaseFailed")[0] == "False"
    assert status["deployedRelease"] == {"name": "web", "namespace": "ns", "revision": 2, "chart": "web-1.0"}
    assert status["digest"] == "digest"
    assert status["observedGeneration"] == 1
    assert all(c["observedGeneration"] == 1 for c in status["conditions"])


@pytest.mark.parametrize(
    ("outcome", "ready"),
    [
        (Outcome(), ("False", "Progressing", "the release is not deployed yet")),
        (Outcome(deployed=DEPLOYED), ("False", "Progressing", "the release is not deployed yet")),
        (Outcome(refusal=Refusal("No", "because")), ("False", "No", "because")),
        (fine(refusal=Refusal("No", "because")), ("False", "No", "because")),
        (fine(failure=Fault("UpgradeError", "bad")), ("False", "UpgradeError", "bad")),
        (fine(irreconcilable=Fault("ReconcileError", "bad")), ("False", "ReconcileError", "bad")),
        (fine(progress="going"), ("False", "Progressing", "going")),
        (fine(awaited=["a", "b", "c", "d"]), ("False", "Progressing", "waiting for a; b; c; and 1 more")),
        (
            fine(
                extra={
                    "conditions": [{"type": "X", "status": "False", "reason": "R", "message": "m", "blocksReady": True}]
                }
            ),
            ("False", "R", "m"),
        ),
        (fine(extra={"conditions": [{"type": "X", "status": "False", "reason": "R"}]}), ("True", "Ready", None)),
    ],
)
def test_ready_is_a_summary(outcome, ready):
    """The first thing in the way names itself."""
    status, reason, message = condition(build(outcome), "Ready")
    assert (status, reason) == ready[:2]
    assert ready[2] is None or message == ready[2]


def test_notices_are_in_the_message_and_kinds_add_fields():
    """Remarks refuse nothing."""
    status = build(fine(notices=(Notice("N", "a remark"),), extra={"replicas": 2}))
    assert "a remark" in status["message"]
    assert status["replicas"] == 2


def test_kinds_cannot_replace_the_engines_conditions():
    """Ready is only ever the summary."""
    status = build(fine(extra={"conditions": [{"type": "Ready", "status": "False", "reason": "X", "message": ""}]}))
    assert condition(status, "Ready")[0] == "True"


def test_equal_status_is_no_difference_at_a_later_time():
    """Else every pass would write."""
    first = build(fine())
    obj = {"metadata": {"namespace": "ns"}, "status": first}
    again = build(fine(), obj, now=NOW + timedelta(hours=1))
    assert again == first
    assert not differs(obj, again)
    assert differs(obj, build(fine(failure=Fault("UpgradeError", "x")), obj))


def test_conditions_of_others_stay():
    """They are carried along only where the list is no map by type."""
    theirs = {"type": "Theirs", "status": "True"}
    obj = {"metadata": {}, "status": {"conditions": [theirs]}}
    assert theirs in build(fine(), obj, keep_others=True)["conditions"]
    status = build(fine(), obj, keep_others=False)
    assert theirs not in status["conditions"]
    assert not differs({**obj, "status": {**status, "conditions": [theirs, *status["conditions"]]}}, status)


def test_field_of_ours_that_is_no_longer_true_is_a_difference():
    """The API server knows what we wrote; a release that is gone must go from the status."""
    fields = {"f:status": {"f:deployedRelease": {}, "f:message": {}}}
    entry = {"manager": STATUS_MANAGER, "subresource": "status", "fieldsV1": fields}
    status = build(Outcome(progress="x"))
    obj = {"metadata": {"managedFields": [entry]}, "status": {**status, "deployedRelease": {}}}
    assert differs(obj, status)
    obj["metadata"]["managedFields"][0]["manager"] = "somebody"
    assert not differs(obj, status)


def test_long_messages_are_cut():
    """The status stays small."""
    assert len(build(fine(failure=Fault("UpgradeError", "x" * 5000)))["message"]) <= 1024


def test_paused():
    """Ready says so, what is deployed stays, and the condition is False once it is over."""
    status = build(fine(paused=True))
    assert condition(status, "Paused")[:2] == ("True", "PauseReconcileAnnotationTrue")
    assert condition(status, "Ready")[:2] == ("False", "Paused")
    assert condition(status, "Deployed")[0] == "True"
    assert condition(build(fine(), {"metadata": {}, "status": status}), "Paused")[:2] == ("False", "NotPaused")
    assert not [c for c in build(fine())["conditions"] if c["type"] in {"Paused", "Held"}]


def test_held():
    """A failure and work under way are told first."""
    status = build(fine(held="held at 1"))
    assert condition(status, "Held") == ("True", "RolledBack", "held at 1")
    assert condition(status, "Ready") == ("False", "RolledBack", "held at 1")
    assert condition(build(fine(held="x", progress="rolling back")), "Ready")[1] == "Progressing"
    assert condition(build(fine(held="x", failure=Fault("RollbackError", "no"))), "Ready")[1] == "RollbackError"


def test_leaving():
    """Deployed, ReleaseFailed and the message say what a deletion waits for."""
    text = "Waiting until all resources are deleted: Job ns/x (finalizers: a)"
    status = build(Outcome(leaving=text))
    assert condition(status, "Deployed") == ("False", "UninstallSuccessful", text)
    assert condition(status, "ReleaseFailed") == ("False", "UninstallSuccessful", text)
    assert condition(status, "Ready") == ("False", "Uninstalling", text)
    assert status["message"] == text


def test_drift_that_stays():
    """With the policy to warn; it doesn't keep Ready from being True."""
    status = build(fine(drifted=["ConfigMap ns/a: /data/x", "Service ns/a: /spec/type"]))
    assert condition(status, "Drifted") == (
        "True",
        "DriftDetected",
        "ConfigMap ns/a: /data/x; Service ns/a: /spec/type",
    )
    assert condition(status, "Ready")[0] == "True"
    assert condition(build(fine()), "Drifted")[:2] == ("False", "NoDriftDetected")


def test_handled_tokens_stay():
    """What was handled earlier is echoed until a new token is."""
    obj = {"metadata": {}, "status": {"lastHandledForceAt": "a", "lastHandledResetAt": "r"}}
    status = build(fine(handled={"lastHandledForceAt": "b"}), obj)
    assert (status["lastHandledForceAt"], status["lastHandledResetAt"]) == ("b", "r")
    assert "lastHandledReconcileAt" not in status


def test_last_attempt():
    """It is there while something fails, and goes with it."""
    attempt = {"digest": "d", "failures": 2}
    assert build(fine(attempt=attempt))["lastAttempt"] == attempt
    assert "lastAttempt" not in build(fine())


def test_conditions_of_ours_that_ended_are_not_carried_along():
    """Also where other writers' conditions are."""
    old = [{"type": "Held", "status": "True"}, {"type": "Accepted", "status": "True"}, {"type": "Theirs"}]
    types = [
        c["type"]
        for c in build(fine(), {"metadata": {}, "status": {"conditions": old}}, keep_others=True)["conditions"]
    ]
    assert types.count("Held") == types.count("Accepted") == types.count("Theirs") == 1
