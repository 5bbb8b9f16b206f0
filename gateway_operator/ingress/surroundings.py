"""What the supervisor has to know of the container around it: address families, limits, and where its output goes."""

from __future__ import annotations

import os
import resource
import socket
import threading


def has_ipv6() -> bool:
    """Tell whether this network has IPv6 at all."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def allow_open_files() -> None:
    """Raise the limit of open files as far as it goes; nginx inherits it, and may not raise it itself in a pod."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def openable_stdout() -> int | None:
    """Nginx opens /dev/stdout by name; where that fails (sockets, pipes of others) we relay through our own pipe."""
    try:
        os.close(os.open("/dev/stdout", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK))
    except OSError:
        reader, writer = os.pipe()
        threading.Thread(target=_relay, args=(reader,), daemon=True).start()
        return writer
    return None


def _relay(reader: int) -> None:
    while chunk := os.read(reader, 65536):
        view = memoryview(chunk)
        while view:
            view = view[os.write(1, view) :]
