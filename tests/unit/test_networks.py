"""Where traffic may go: the quick answer for IPv4 is the library's."""

from __future__ import annotations

import ipaddress
import random

import pytest

from gateway_operator.networks import is_routable

NONE = ("", "x", "10.0.0", "10.0.0.0.1", "010.0.0.1", "10.0.0.1 ", "1", "10.0.0.1\0", "\u0663.0.0.1")
OTHERS = {"fd00::1": True, "::1": False, "fe80::1": False, "ff02::1": False, "::": False, "::ffff:127.0.0.1": False}


def by_the_library(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return not (ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast)


def test_every_first_byte_and_its_neighbours():
    """All borders of the forbidden networks lie between first or second bytes."""
    chance = random.Random(1)
    for first in range(256):
        for second in (0, 253, 254, 255, chance.randrange(256)):
            for rest in ("0.0", "0.1", "255.255"):
                address = f"{first}.{second}.{rest}"
                assert is_routable(address) is by_the_library(address), address


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_address(text):
    """Also what other programs would read as one."""
    assert not is_routable(text)


@pytest.mark.parametrize(("address", "routable"), OTHERS.items())
def test_the_other_family(address, routable):
    """And addresses of the one that are written in the other."""
    assert is_routable(address) is routable
