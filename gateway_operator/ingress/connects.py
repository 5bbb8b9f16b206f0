"""Many TCP connects at once, judged by what the kernel saw, so that a busy process calls nobody silent who answered."""

from __future__ import annotations

import contextlib
import enum
import errno
import select
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway_operator.ingress.plan import Endpoint

STAGGER = 0.1  # s between two tries of the same endpoint, so that one burst of loss doesn't take all
_LOCAL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_RESET = struct.pack("ii", 1, 0)  # closing sends a reset: no TIME_WAIT is left behind


class Verdict(enum.Enum):
    """What came of a connect: it opened, somebody refused it, nobody said a word, or it couldn't even be tried."""

    OPEN = "open"
    REFUSED = "refused"
    SILENT = "silent"
    UNKNOWN = "unknown"


@dataclass
class _Race:
    """The connects of one call."""

    poll: select.poll = field(default_factory=select.poll)
    waiting: dict[int, tuple[Endpoint, socket.socket]] = field(default_factory=dict)
    found: dict[Endpoint, Verdict] = field(default_factory=dict)

    def start(self, endpoint: Endpoint) -> None:
        if self.found.get(endpoint) in {Verdict.OPEN, Verdict.REFUSED}:
            return
        family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:
            self.found.setdefault(endpoint, Verdict.UNKNOWN)
            return
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        code = sock.connect_ex((endpoint.address, endpoint.port))
        if code in {errno.EINPROGRESS, errno.EAGAIN}:
            self.waiting[sock.fileno()] = (endpoint, sock)
            self.poll.register(sock, select.POLLOUT)
        else:
            sock.close()
            self._note(endpoint, code)

    def wait(self, seconds: float) -> None:
        for number, _ in self.poll.poll(max(0, round(seconds * 1000))):
            endpoint, sock = self.waiting.pop(number)
            self.poll.unregister(number)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            sock.close()
            self._note(endpoint, code)

    def _note(self, endpoint: Endpoint, code: int) -> None:
        if self.found.get(endpoint) is Verdict.OPEN:
            return
        if code == 0:
            self.found[endpoint] = Verdict.OPEN
        elif code in {errno.ECONNREFUSED, errno.ECONNRESET}:
            self.found[endpoint] = Verdict.REFUSED
        else:
            self.found[endpoint] = Verdict.UNKNOWN if code in _LOCAL else Verdict.SILENT

    def end(self) -> dict[Endpoint, Verdict]:
        for endpoint, sock in self.waiting.values():
            sock.close()
            if self.found.get(endpoint) in {None, Verdict.UNKNOWN}:
                self.found[endpoint] = Verdict.SILENT
        return self.found


def connect_all(tries: Mapping[Endpoint, int], within: float) -> dict[Endpoint, Verdict]:
    """Connect to each endpoint up to so many times; one that answers once is well. Takes `within` seconds at most."""
    race, began = _Race(), time.monotonic()
    for number in range(max(tries.values(), default=0)):
        while race.waiting and (left := began + number * STAGGER - time.monotonic()) > 0:
            race.wait(left)
        for endpoint, most in tries.items():
            if number < most:
                race.start(endpoint)
    while race.waiting and (left := began + within - time.monotonic()) > 0:
        race.wait(left)
    race.wait(0)
    return race.end()
