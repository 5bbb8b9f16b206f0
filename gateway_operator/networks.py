"""Which addresses traffic may ever be sent to, whoever names them.

An address that comes from outside could be this pod's own, or the cloud's metadata service; nothing is sent there.
"""

from __future__ import annotations

import ipaddress


def is_routable(address: str) -> bool:
    """Tell whether it is an address, and not loopback, link-local, multicast or unspecified."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return not (mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified or mapped.is_multicast)
