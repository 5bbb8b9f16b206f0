"""How often failing runs are tried."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway_operator.releases.attempts import Attempts, failed_again, is_lasting, restored
from gateway_operator.releases.helm_errors import HelmForbidden, NotOwned, ObjectRefused, RenderFailed, Unreachable
from gateway_operator.releases.queue import Key
from gateway_operator.releases.status import Fault

FAULT = Fault("UpgradeError", "bad")
NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
KEY = Key(("g", "Web"), "ns", "a")


def series(*, lasting, count):
    """The delays after each of `count` failures of the same inputs."""
    last, delays = None, []
    for _ in range(count):
        last = failed_again(last, "d1", FAULT, lasting=lasting, forced=False, now=NOW)
        delays.append(last.retry_at - NOW)
    return delays


def test_lasting_failures_wait_ten_minutes_and_more():
    """Doubling up to an hour, never earlier than said."""
    for delay, expected in zip(series(lasting=True, count=5), [600, 1200, 2400, 3600, 3600], strict=True):
        assert expected <= delay <= expected * 1.1


def test_passing_failures_start_at_a_second():
    """Doubling up to five minutes."""
    delays = series(lasting=False, count=12)
    assert 0.9 <= delays[0] <= 1.1
    assert 270 <= delays[-1] <= 330


def test_other_inputs_start_anew():
    """A change of spec or chart has its own count."""
    last = failed_again(None, "d1", FAULT, lasting=True, forced=False, now=NOW)
    assert failed_again(last, "d1", FAULT, lasting=True, forced=False, now=NOW).failures == 2
    assert failed_again(last, "d2", FAULT, lasting=True, forced=False, now=NOW).failures == 1


@pytest.mark.parametrize(
    ("error", "upgraded", "expected"),
    [
        (RenderFailed, False, True),
        (ObjectRefused, True, True),
        (HelmForbidden, False, False),
        (HelmForbidden, True, True),
        (NotOwned, True, True),
        (Unreachable, True, False),
    ],
)
def test_what_may_take_its_time(error, upgraded, expected):
    """Faults of the inputs, and upgrades that cost revisions; never an API server that is away."""
    assert is_lasting(error("x"), upgraded=upgraded) is expected


def test_a_restart_starts_no_new_series():
    """What was written into the status is read back, with the reason from the condition."""
    attempt = failed_again(None, "d1", FAULT, lasting=True, forced=False, now=NOW)
    failed = {"type": "ReleaseFailed", "status": "True", "reason": FAULT.reason, "message": FAULT.message}
    obj = {"status": {"lastAttempt": attempt.as_status(), "conditions": [failed]}}
    found = Attempts().get(KEY, obj)
    assert (found.digest, found.failures, found.fault, found.lasting) == ("d1", 1, FAULT, True)
    assert abs(found.retry_at - attempt.retry_at) <= 1


@pytest.mark.parametrize("known", [None, "x", {}, {"digest": "d"}, {"digest": "d", "failures": 1, "time": "x"}])
def test_unreadable_status_is_no_failure(known):
    """Somebody may have edited it."""
    assert restored({"status": {"lastAttempt": known}}) is None


def test_cleared_failures_stay_cleared():
    """Although the status still shows them until it is written."""
    attempts = Attempts()
    attempt = failed_again(None, "d1", FAULT, lasting=True, forced=False, now=NOW)
    attempts.note(KEY, attempt)
    attempts.follow_up(KEY)
    assert attempts.get(KEY, {}).followed_up
    attempts.clear(KEY)
    assert attempts.get(KEY, {"status": {"lastAttempt": attempt.as_status()}}) is None
