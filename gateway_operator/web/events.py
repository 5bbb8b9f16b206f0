"""Changes of gateways as server-sent events: first what is there, then what changes, each as its reader may see it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from fastapi import Request

from gateway_operator.web.access import Access, Subject
from gateway_operator.web.entries import Entry
from gateway_operator.web.gateways import Gateways
from gateway_operator.web.listing import Query
from gateway_operator.web.problems import Problem
from gateway_operator.web.sight import Sight, again

MEDIA_TYPE = "text/event-stream"
_HEARTBEAT_SECONDS = 10.0
_KNOWN_SECONDS = 5.0  # after which the reader's token is looked at again


async def events(
    gateways: Gateways, access: Access, request: Request, subject: Subject, query: Query, sight: Sight
) -> AsyncGenerator[bytes, None]:
    """Yield events until the reader's token or right ends; a reader that is too slow is told to begin again."""
    with gateways.follow() as changes:
        shown: set[str] = set()
        for entry in query.pick([e for e in gateways.all() if sight.shows(e)])[0]:
            shown.add(entry.claim.uid)
            yield _event("ADDED", entry, sight)
        yield b"event: SYNCED\ndata: {}\n\n"
        known_since = time.monotonic()
        while True:
            quiet, change = False, None
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    change = await changes.get()
            except TimeoutError:
                quiet = True
                yield b": still here\n\n"
            try:
                if time.monotonic() - known_since > _KNOWN_SECONDS:
                    subject, known_since = await access.authenticate(request), time.monotonic()
                if quiet:
                    continue
                if change is None:
                    yield _end("TooSlow")
                    return
                sight = await again(access, subject, sight, change[1])
            except Problem as problem:
                yield _end(problem.reason)
                return
            if seen := _seen(*change, sight, query, shown):
                yield _event(seen, change[1], sight)


def _end(reason: str) -> bytes:
    return b'event: ERROR\ndata: {"reason":"%s"}\n\n' % reason.encode()


def _seen(type_: str, entry: Entry, sight: Sight, query: Query, shown: set[str]) -> str:
    """Return what a change is to its reader, who knows the gateways in `shown`; empty: nothing."""
    uid = entry.claim.uid
    visible = sight.shows(entry) and query.matches(entry) and type_ != "DELETED"
    if visible:
        known = uid in shown
        shown.add(uid)
        return "MODIFIED" if known else "ADDED"
    if uid in shown:
        shown.discard(uid)
        return "DELETED"
    return ""


def _event(type_: str, entry: Entry, sight: Sight) -> bytes:
    version = str(entry.obj["metadata"].get("resourceVersion", "")).encode()
    body = sight.body(entry) if sight.shows(entry) else entry.public
    head = b"id: %s\nevent: %s\n" % (version, type_.encode())
    return b'%sdata: {"type":"%s","object":%s}\n\n' % (head, type_.encode(), body)
