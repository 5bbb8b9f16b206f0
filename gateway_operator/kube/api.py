"""The API server's verbs, as thin as they can be: paths from a `Resource`, JSON in, JSON out, our errors."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from gateway_operator.errors import ApiError, Gone, NotFound, Unavailable, api_error
from gateway_operator.kube.connection import Connection
from gateway_operator.kube.discovery import Discovery
from gateway_operator.kube.objects import Listing, Resource, WatchEvent

_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_CHUNK = 500
_WATCH_SECONDS = 290  # below the five minutes after which many proxies cut an idle stream
_SILENCE_SECONDS = 90  # a bookmark comes about every minute where anything happens at all
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)


Guard = Callable[[str], None]  # told "PATCH /api/v1/..." before each write; raises what must stop it


class Api:
    """One API server. Methods raise ApiError and its kinds; `await close()` at the end."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._discovery = Discovery(self.raw)
        self._guard: Guard | None = None

    def guarded(self, guard: Guard) -> Api:
        """Return a client over the same connections that asks `guard` before every write."""
        other = copy.copy(self)
        other._guard = guard  # noqa: SLF001
        return other

    @classmethod
    async def connect(
        cls, kubeconfig: Path | None = None, context: str | None = None, *, pool: int | None = None
    ) -> Api:
        """Find credentials and make a client for `pool` requests at once. Nothing is sent yet. Raises ConfigError."""
        return cls(await Connection.open(kubeconfig, context, pool))

    async def close(self) -> None:
        """Close all connections."""
        await self.connection.close()

    async def resource(self, api_version: str, kind: str) -> Resource:
        """Look up how a kind is served; cached. Raises KindNotServed."""
        return await self._discovery.resource(api_version, kind)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Any:
        """Send any request and return the decoded answer."""
        if self._guard and method != "GET":
            self._guard(f"{method} {path}")
        headers = {"Accept": accept, "Content-Type": content_type}
        response = await self.connection.request(
            method, path, query=query or {}, body=body, headers=headers, timeout=_TIMEOUT
        )
        try:
            payload = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(0, "Unreachable", f"the answer broke off: {error or type(error).__name__}") from error
        if not response.ok:
            raise api_error(response.status, _status(payload))
        if "json" not in response.headers.get("Content-Type", ""):
            return payload.decode(errors="replace")
        return json.loads(payload)

    async def get(self, res: Resource, name: str, namespace: str | None = None) -> dict[str, Any]:
        """Read one object. Raises NotFound."""
        return _object(await self.raw("GET", res.path(namespace, name)))

    async def find(self, res: Resource, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """Read one object; None when there is none of this name."""
        try:
            return await self.get(res, name, namespace)
        except NotFound:
            return None

    async def list(
        self,
        res: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        revision: str = "",
        metadata_only: bool = False,
        each: Callable[[dict[str, Any]], Any] | None = None,
    ) -> Listing:
        """Read all objects, in chunks; items carry apiVersion and kind. Starts over once when a chunk has expired.

        With `each`, the items are what it returns of them: no more than one chunk is whole in memory at a time. With a
        `revision` (the resourceVersion of a recent write) they are what they were right after that.
        """
        query = _selectors(label_selector, field_selector)
        if revision:
            query |= {"resourceVersion": revision, "resourceVersionMatch": "Exact"}
        try:
            return await self._list(res, namespace, query, each, metadata_only=metadata_only)
        except Gone:
            return await self._list(res, namespace, query, each, metadata_only=metadata_only)

    async def create(self, res: Resource, obj: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        """Create one object. Raises AlreadyExists."""
        return _object(await self.raw("POST", res.path(namespace or _namespace(obj)), body=obj))

    async def replace(
        self, res: Resource, obj: dict[str, Any], namespace: str | None = None, subresource: str | None = None
    ) -> dict[str, Any]:
        """Write one whole object; its resourceVersion must be the current one. Raises Conflict."""
        path = res.path(namespace or _namespace(obj), obj["metadata"]["name"], subresource)
        return _object(await self.raw("PUT", path, body=obj))

    async def apply(
        self,
        res: Resource,
        obj: dict[str, Any],
        *,
        field_manager: str,
        force: bool = False,
        dry_run: bool = False,
        subresource: str | None = None,
    ) -> dict[str, Any]:
        """Server-side apply of the fields in `obj`. Raises Conflict, whose `conflicts` names the other managers."""
        query = {"fieldManager": field_manager, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        path = res.path(_namespace(obj), obj["metadata"]["name"], subresource)
        return _object(await self.raw("PATCH", path, query=query, body=obj, content_type=_APPLY))

    async def merge_patch(
        self,
        res: Resource,
        name: str,
        patch: dict[str, Any],
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        field_manager: str | None = None,
    ) -> dict[str, Any]:
        """Merge `patch` into an object (RFC 7386); with metadata.resourceVersion in it, only if unchanged."""
        return await self._patch(res.path(namespace, name, subresource), patch, _MERGE, field_manager)

    async def json_patch(
        self,
        res: Resource,
        name: str,
        ops: Sequence[dict[str, Any]],
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        field_manager: str | None = None,
    ) -> dict[str, Any]:
        """Run JSON patch operations (RFC 6902) on an object."""
        return await self._patch(res.path(namespace, name, subresource), [*ops], _JSON_PATCH, field_manager)

    async def delete(
        self,
        res: Resource,
        name: str,
        namespace: str | None = None,
        *,
        propagation: str = "Background",
        uid: str | None = None,
    ) -> None:
        """Delete one object; with `uid`, only that very one. Raises NotFound."""
        body: dict[str, Any] = {"propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        await self.raw("DELETE", res.path(namespace, name), body=body)

    async def watch(
        self,
        res: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        seconds: int = _WATCH_SECONDS,
    ) -> AsyncIterator[WatchEvent]:
        """Stream changes after `resource_version`, until the server ends the stream. Raises Gone, Unavailable, ..."""
        query = _selectors(label_selector, field_selector) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        response = await self.connection.request(
            "GET",
            res.path(namespace),
            query=query,
            body=None,
            headers={"Accept": _METADATA if metadata_only else _JSON},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_SILENCE_SECONDS),
        )
        try:
            if not response.ok:
                raise api_error(response.status, _status(await response.read()))
            async for line in response.content:
                yield _event(line, res)
        except TimeoutError:
            return  # silence: perhaps nothing happened, perhaps the connection is dead; a new stream tells
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(0, "StreamCut", f"the watch of {res.plural} broke off: {error}") from error
        finally:
            response.close()

    async def stream(self, path: str, query: Mapping[str, str]) -> ByteStream:
        """Open a GET whose answer has no end, and return its bytes as they come; closing it closes the connection.

        Raises ApiError when it can't be opened; a stream that breaks off ends.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=None)
        headers = {"Accept": "*/*"}
        response = await self.connection.request("GET", path, query=query, body=None, headers=headers, timeout=timeout)
        if not response.ok:
            payload = await response.read()
            raise api_error(response.status, _status(payload))
        return ByteStream(response)

    async def _patch(self, path: str, body: Any, content_type: str, field_manager: str | None) -> dict[str, Any]:
        query = {"fieldManager": field_manager} if field_manager else {}
        return _object(await self.raw("PATCH", path, query=query, body=body, content_type=content_type))

    async def _list(
        self,
        res: Resource,
        namespace: str | None,
        query: dict[str, str],
        each: Callable[[dict[str, Any]], Any] | None,
        *,
        metadata_only: bool,
    ) -> Listing:
        items: list[Any] = []
        query = query | {"limit": str(_CHUNK)}
        accept = (_METADATA if metadata_only else _JSON).replace("PartialObjectMetadata", "PartialObjectMetadataList")
        while True:
            page = await self.raw("GET", res.path(namespace), query=query, accept=accept)
            found = [_typed(item, res) for item in page.get("items") or []]
            items += map(each, found) if each else found
            meta = page.get("metadata", {})
            del page, found  # not while the next chunk comes
            if not meta.get("continue"):
                return Listing(items, meta.get("resourceVersion", ""))
            query = {key: value for key, value in query.items() if not key.startswith("resourceVersion")}
            query["continue"] = meta["continue"]


class ByteStream:
    """The bytes of an answer without an end, as they come; `aclose` closes the connection, read or not."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def __aiter__(self) -> ByteStream:
        """Iterate over the chunks."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk; a stream that breaks off ends."""
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, OSError):
            chunk = b""
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Close the connection at once."""
        self._response.close()


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    pairs = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in pairs.items() if value}


def _typed(obj: dict[str, Any], res: Resource) -> dict[str, Any]:
    """Items of lists have no apiVersion and kind, metadata-only objects have foreign ones: say what they are."""
    obj["apiVersion"], obj["kind"] = res.api_version, res.kind
    return obj


def _event(line: bytes, res: Resource) -> WatchEvent:
    decoded = json.loads(line)
    obj = decoded["object"]
    if decoded["type"] == "ERROR":
        raise api_error(int(obj.get("code", 500)), obj)
    return WatchEvent(decoded["type"], _typed(obj, res))


def _status(payload: bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(payload)
    except ValueError:
        decoded = None
    return decoded if isinstance(decoded, dict) else {"message": payload.decode(errors="replace")[:500]}


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ApiError(200, "BadAnswer", "the API server's answer is no JSON object")
    return answer


def _namespace(obj: dict[str, Any]) -> str | None:
    namespace = obj["metadata"].get("namespace")
    return str(namespace) if namespace else None
