"""Names that fit: short ones stay, long ones are cut and stay apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.names import release_name, short_name

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,80}[a-z0-9])?", fullmatch=True)


def test_a_name_that_fits_is_kept() -> None:
    """Existing releases keep their plain names."""
    assert release_name("kubesphere-router-proj1") == "kubesphere-router-proj1"


def test_long_names_with_one_beginning_stay_apart() -> None:
    """What is cut off still counts."""
    assert release_name("a" * 60 + "b") != release_name("a" * 60 + "c")


@given(NAMES, st.integers(min_value=12, max_value=63))
def test_every_name_fits_and_is_a_dns_label(name: str, limit: int) -> None:
    """The result is at most `limit` long, starts and ends like a DNS label, and is always the same."""
    short = short_name(name, limit)
    assert len(short) <= limit
    assert short[0].isalnum()
    assert short[-1].isalnum()
    assert short == short_name(name, limit)
