"""How much one client may ask for: a token bucket each, and a number of streams that are open at once."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway_operator.settings_api import LimitSettings
from gateway_operator.web.problems import Problem

_CLIENTS = 10_000  # buckets that are remembered; one that was forgotten starts full


class Limits:
    """The buckets of all clients; a client is a user, or an address while nobody is known."""

    def __init__(self, settings: LimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> (tokens, when)
        self._streams: Counter[str] = Counter()

    def take(self, client: str) -> None:
        """Count one request. Raises Problem 429."""
        now = self._clock()
        tokens, when = self._buckets.pop(client, (float(self._settings.burst), now))
        tokens = min(self._settings.burst, tokens + (now - when) * self._settings.requests_per_second)
        self._buckets[client] = (max(tokens - 1, 0) if tokens >= 1 else tokens, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            wait = max(1, round((1 - tokens) / self._settings.requests_per_second))
            retry = {"Retry-After": str(wait)}
            raise Problem(429, "TooManyRequests", "too many requests; wait a little", headers=retry)

    @contextmanager
    def stream(self, client: str) -> Iterator[None]:
        """Count one open stream for as long as the block. Raises Problem 429."""
        if self._streams[client] >= self._settings.streams_per_subject:
            text = f"{self._settings.streams_per_subject} streams of this user are open; close one"
            raise Problem(429, "TooManyStreams", text, headers={"Retry-After": "1"})
        self._streams[client] += 1
        try:
            yield
        finally:
            self._streams[client] -= 1
            if not self._streams[client]:
                del self._streams[client]
