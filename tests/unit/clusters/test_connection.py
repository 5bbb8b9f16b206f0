"""When a look at a member is news, and how long a new token may be refused."""

from __future__ import annotations

import pytest

from gateway_operator.clusters.connection import Health, is_news
from gateway_operator.clusters.joining import once_accepted
from gateway_operator.crds.traffic import TrafficReason
from gateway_operator.errors import Unauthorized

GOOD = Health(True, TrafficReason.CONNECTED)


def bad(reason: TrafficReason) -> Health:
    return Health(False, reason)


@pytest.mark.parametrize("reason", [TrafficReason.UNAUTHORIZED, TrafficReason.TIMED_OUT, TrafficReason.UNREACHABLE])
def test_a_member_is_called_away_by_two_looks_in_a_row(reason):
    """A replica that hasn't heard of the newest token yet, or is slow once, doesn't make the member stale."""
    assert not is_news(GOOD, bad(reason), 1)
    assert is_news(GOOD, bad(reason), 2)


def test_what_no_second_look_would_change_is_told_at_once():
    """Missing rights and wrong authorities; and whatever is said of a member that wasn't connected anyway."""
    assert is_news(GOOD, bad(TrafficReason.FORBIDDEN), 1)
    assert is_news(GOOD, bad(TrafficReason.CERTIFICATE_NOT_TRUSTED), 1)
    assert is_news(Health(), bad(TrafficReason.UNAUTHORIZED), 1)
    assert is_news(bad(TrafficReason.UNAUTHORIZED), GOOD, 0)


async def test_a_new_token_may_be_refused_at_first():
    """Until the API server has seen its Secret; a refusal that lasts is one."""
    answers = [Unauthorized(401, "Unauthorized", "no"), Unauthorized(401, "Unauthorized", "no"), "v1.34"]

    async def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Unauthorized):
            raise answer
        return answer

    assert await once_accepted(ask) == "v1.34"
    answers.append(Unauthorized(401, "Unauthorized", "no"))
    with pytest.raises(Unauthorized):
        await once_accepted(ask, seconds=-1.0)
