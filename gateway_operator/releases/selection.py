"""What happens to an object that no longer has the labels of its row.

It is let go at once: the finalizer is removed, because nobody would be there to do so when the object is deleted, and
the release stays as it is. When the label comes back, so does the release's keeper. An object that lost its label while
no operator looked keeps the finalizer; it might as well belong to an operator with another selector, so it is only told
about, once it waits for its deletion.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from gateway_operator.errors import Conflict, NotFound
from gateway_operator.kube import Api, EventRecorder
from gateway_operator.releases.claims import Claims
from gateway_operator.releases.finalizer import has_finalizer, remove_finalizers
from gateway_operator.releases.names import FINALIZERS
from gateway_operator.releases.queue import Handler, Key
from gateway_operator.releases.rows import Object, Row
from gateway_operator.releases.streams import Streams
from gateway_operator.telemetry import get_logger

_PATIENCE = 300.0  # seconds that another operator's uninstall may take
_log = get_logger(__name__)


class Selection:
    """A handler of the work queue before another one: lets go of what a selector no longer selects."""

    def __init__(
        self, handler: Handler, *, api: Api, streams: Streams, claims: Claims, recorder: EventRecorder
    ) -> None:
        self._handler = handler
        self._api = api
        self._streams = streams
        self._claims = claims
        self._recorder = recorder

    async def __call__(self, key: Key, reasons: tuple[str, ...]) -> float | None:
        """Run one pass. Raises ApiError, and what the handler raises."""
        row = self._streams.rows[key.row]
        if row.watch.selector and (key.namespace, key.name) not in row.store:
            with contextlib.suppress(NotFound):
                await self._let_go(key, row)
        return await self._handler(key, reasons)

    async def _let_go(self, key: Key, row: Row) -> None:
        assert row.resource is not None  # noqa: S101 - set before any stream
        obj = await self._api.get(row.resource, key.name, key.namespace or None)
        if not has_finalizer(obj) or await self._streams.selects(row, (key.namespace, key.name)):
            return
        try:
            await remove_finalizers(self._api, row.resource, obj)
        except Conflict:  # it changed just now: look again
            await self._let_go(key, row)
            return
        release = self._claims.held(key)
        stays = (
            f"; its release {release[1]} stays (helm uninstall {release[1]} -n {release[0]} removes it)"
            if release
            else ""
        )
        message = f"no longer has the labels {row.watch.selector}, so nobody looks after it{stays}"
        _log.info("object let go", object=str(key), selector=row.watch.selector)
        self._recorder.event(obj, type_="Warning", reason="NotSelected", message=message)

    def on_stray(self, row: Row, item: Object) -> None:
        """Tell about an object that is being deleted, isn't selected, and has a finalizer like ours for long."""
        since = datetime.fromisoformat(item["metadata"]["deletionTimestamp"])
        if not has_finalizer(item) or (datetime.now(UTC) - since).total_seconds() < _PATIENCE:
            return
        message = (
            f"waits for a finalizer ({', '.join(FINALIZERS)}) and has not the labels {row.watch.selector}: if no other "
            "operator serves it, give it the labels to have its release uninstalled, or remove the finalizer"
        )
        self._recorder.event({**item, "kind": row.watch.kind}, type_="Warning", reason="NotSelected", message=message)
