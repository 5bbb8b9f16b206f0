"""Annotations about which endpoint gets a request: balancing, cookies that bind clients, and canaries."""

from __future__ import annotations

from dataclasses import dataclass

from gateway_operator.crds.config_types import boolean, integer
from gateway_operator.crds.regex_types import regex
from gateway_operator.ingress import annotation_readers as read
from gateway_operator.ingress.annotation_rows import BACKEND, HIGH, LOCATION, MEDIUM, note

MOST_WEIGHT = 10**6
_SAMESITE = {"none": "None", "lax": "Lax", "strict": "Strict"}


def samesite(text: str) -> str:
    """Read the SameSite word in any case."""
    return _SAMESITE[read.choice(*_SAMESITE, lower=True)(text)]


@dataclass(frozen=True, slots=True)
class BalancingNotes:
    """Values of the group; None where the Ingress says nothing."""

    load_balance: str | None = note(
        read.choice("round_robin", "ewma", "least_conn"),
        BACKEND,
        "also `least_conn`: the better of two random endpoints",
    )
    upstream_hash_by: str | None = note(
        read.hash_key,
        BACKEND,
        "variables of a fixed list: those of the request's line, headers, cookies, arguments and client",
        risk=HIGH,
    )
    affinity: str | None = note(read.choice("cookie"), BACKEND)
    affinity_mode: str | None = note(read.choice("balanced", "persistent"), BACKEND, risk=MEDIUM)
    affinity_canary_behavior: str | None = note(read.choice("sticky", "legacy"), BACKEND)
    session_cookie_name: str | None = note(read.token, BACKEND, risk=MEDIUM)
    session_cookie_path: str | None = note(read.cookie_path, BACKEND, risk=MEDIUM)
    session_cookie_domain: str | None = note(read.cookie_domain, BACKEND, risk=MEDIUM)
    session_cookie_max_age: int | None = note(integer(-(10**9), 10**9), BACKEND, risk=MEDIUM)
    session_cookie_expires: int | None = note(integer(-(10**9), 10**9), BACKEND, risk=MEDIUM)
    session_cookie_samesite: str | None = note(samesite, BACKEND)
    session_cookie_conditional_samesite_none: bool | None = note(boolean, BACKEND)
    session_cookie_secure: bool | None = note(boolean, BACKEND)
    session_cookie_change_on_failure: bool | None = note(boolean, BACKEND)


@dataclass(frozen=True, slots=True)
class CanaryNotes:
    """Values of the group; None where the Ingress says nothing."""

    canary: bool | None = note(
        boolean, LOCATION, "several canaries for one path are allowed, the oldest is asked first; upstream takes one"
    )
    canary_weight: int | None = note(integer(0, MOST_WEIGHT), LOCATION)
    canary_weight_total: int | None = note(integer(1, MOST_WEIGHT), LOCATION)
    canary_by_header: str | None = note(read.header_name, LOCATION, risk=MEDIUM)
    canary_by_header_value: str | None = note(read.header_value, LOCATION, risk=MEDIUM)
    canary_by_header_pattern: str | None = note(
        regex, LOCATION, "back references, named groups and ambiguous repetitions are refused", risk=MEDIUM
    )
    canary_by_cookie: str | None = note(read.token, LOCATION, risk=MEDIUM)
