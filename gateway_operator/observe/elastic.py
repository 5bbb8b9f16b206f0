"""Asks Elasticsearch; the only importer of elasticsearch.

The client's many errors become three (`observe.errors`), half answers are told apart from whole ones, and secrets come
from files at the time of use. Elasticsearch 8 and 9 are served; OpenSearch is refused, because its client and its
points in time differ.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elasticsearch import ApiError, AsyncElasticsearch, ConnectionTimeout, TransportError, UnsupportedProductError

from gateway_operator.observe.errors import BackendDown, BackendTimeout
from gateway_operator.settings_api import ElasticsearchSettings

NAME = "elasticsearch"
KEEP_ALIVE = "2m"
_SLACK = 1.0  # s that the loop waits longer than the client, which tells more exactly what happened
_MAJORS = range(8, 10)
_STILL_TRYING = frozenset({429, 502, 503, 504})
_NOT_FOUND = 404
Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a search gave; `failed` says why parts of the index are missing from it, or is empty."""

    body: Mapping[str, Any]
    failed: str = ""

    @property
    def hits(self) -> list[Json]:
        """The documents found."""
        found: list[Json] = self.body["hits"]["hits"]
        return found

    @property
    def total(self) -> int:
        """How many documents match; the search must have asked for it."""
        return int(self.body["hits"]["total"]["value"])


class Elastic:
    """One Elasticsearch cluster."""

    def __init__(self, settings: ElasticsearchSettings) -> None:
        self._settings = settings
        self._client: AsyncElasticsearch | None = None
        self._files: tuple[Any, ...] = ()  # the files with secrets, as the client knows them
        self._refusal = ""
        self._known = False

    async def search(self, body: Json, *, pit: bool = False) -> Answer:
        """Search the configured indices, or with `pit` the point in time that the body names.

        Raises BackendDown, BackendTimeout.
        """
        settings = self._settings
        where: Json = {} if pit else {"index": settings.index, "ignore_unavailable": True, "allow_no_indices": True}
        bounded = {**body, "timeout": f"{int(settings.timeout * 1000)}ms"}
        found = await self._ask("search", body=bounded, **where)
        try:
            return _whole(found)
        except (KeyError, TypeError, AttributeError) as error:
            raise BackendDown(NAME, f"its answer makes no sense ({type(error).__name__})") from None

    @asynccontextmanager
    async def point_in_time(self) -> AsyncIterator[Json | None]:
        """Hold the indices as they are now, for walks; None when there is no index. It is let go at the end."""
        opened = await self._ask("open_point_in_time", missing={}, index=self._settings.index, keep_alive=KEEP_ALIVE,
                                 ignore_unavailable=True)  # fmt: skip
        if not opened.get("id"):
            yield None
            return
        held = {"id": opened["id"], "keep_alive": KEEP_ALIVE}
        try:
            yield held
        finally:
            await asyncio.shield(self._let_go(held["id"]))

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _let_go(self, pit: str) -> None:
        with suppress(BackendDown):  # it runs out by itself
            await self._ask("close_point_in_time", missing={}, id=pit)

    async def _ask(self, operation: str, missing: Json | None = None, **arguments: Any) -> Json:
        """Ask once, within the time limit; `missing` is the answer where nothing is found."""
        try:
            async with asyncio.timeout(self._settings.timeout * (1 + self._settings.retries) + _SLACK):
                client = await self._connected()
                answer = await getattr(client, operation)(**arguments)
                return dict(answer.body)
        except TimeoutError:
            raise BackendTimeout(NAME, "it didn't answer in time") from None
        except ConnectionTimeout:
            raise BackendTimeout(NAME, "it didn't answer in time") from None
        except UnsupportedProductError:
            raise BackendDown(NAME, "it is no Elasticsearch 8 or 9 (OpenSearch isn't supported)") from None
        except ApiError as error:
            if error.meta.status == _NOT_FOUND and missing is not None:
                return missing
            raise _api_error(error) from None
        except TransportError as error:
            raise BackendDown(NAME, f"it can't be asked: {type(error).__name__}: {str(error)[:200]}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BackendDown(NAME, f"its answer makes no sense ({type(error).__name__})") from None

    async def _connected(self) -> AsyncElasticsearch:
        """Return a client that uses the secrets as their files have them now, on a server that we know."""
        files = _files(self._settings)
        if self._client is None or files != self._files:
            await self.close()
            self._client, self._files = _client(self._settings), files
        if not self._known:
            await _check_version(self._client)
            self._known = True
        return self._client


async def _check_version(client: AsyncElasticsearch) -> None:
    """Refuse servers whose answers we don't know. A user without the right to ask is believed."""
    try:
        answer = await client.nodes.info(filter_path="nodes.*.version", metric="os")
    except ApiError as error:
        if error.meta.status == 403:  # noqa: PLR2004
            return
        raise
    versions = {str(node["version"]) for node in answer.body.get("nodes", {}).values()}
    strange = sorted(version for version in versions if int(version.split(".")[0]) not in _MAJORS)
    if strange:
        raise BackendDown(NAME, f"version {strange[0]} isn't supported; 8 and 9 are")


def _client(settings: ElasticsearchSettings) -> AsyncElasticsearch:
    api_key, password = _secrets(settings)
    options: Json = {
        "api_key": api_key,
        "basic_auth": (settings.username, password) if settings.username and not api_key else None,
        "request_timeout": settings.timeout,
        "max_retries": settings.retries,
        "retry_on_timeout": False,
        "retry_on_status": tuple(_STILL_TRYING - {429}),
        "connections_per_node": settings.connections,
        "headers": {"user-agent": "gateway-operator"},
    }
    if any(url.startswith("https:") for url in settings.urls):
        options["ssl_context"] = ssl.create_default_context(cafile=settings.ca_file)
    return AsyncElasticsearch(list(settings.urls), **options)


def _files(settings: ElasticsearchSettings) -> tuple[Any, ...]:
    """Return what tells whether a file with secrets or authorities is another one, or was written to."""
    try:
        found = [file and file.stat() for file in (settings.api_key_file, settings.password_file, settings.ca_file)]
    except OSError as error:
        raise _unreadable(error) from None
    return tuple(one and (one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


def _secrets(settings: ElasticsearchSettings) -> tuple[str | None, str | None]:
    """Read the API key and the password."""
    try:
        return _text(settings.api_key_file), _text(settings.password_file)
    except OSError as error:
        raise _unreadable(error) from None


def _unreadable(error: OSError) -> BackendDown:
    return BackendDown(NAME, f"a file for it can't be read: {error.strerror}")


def _text(file: Path | None) -> str | None:
    return file.read_text().strip() if file else None


def _whole(body: Mapping[str, Any]) -> Answer:
    """Return an answer that has what every answer has. Raises KeyError, TypeError, AttributeError."""
    if not isinstance(body["hits"]["hits"], list):
        raise TypeError
    return Answer(body, _failed(body))


def _failed(body: Mapping[str, Any]) -> str:
    """Say which part of a search failed."""
    shards = body["_shards"]
    if shards.get("failed"):
        reasons = {str(one.get("reason", {}).get("type")) for one in shards.get("failures", ())}
        return f"{shards['failed']} of {shards['total']} shards failed ({', '.join(sorted(reasons)) or 'unknown'})"
    return "the search ran out of time" if body.get("timed_out") else ""


def _api_error(error: ApiError) -> BackendDown:
    """Keep the server's own words out: they may quote a query, and with it a tenant."""
    status = error.meta.status
    if status in {401, 403}:
        return BackendDown(NAME, f"it refuses the API's own account ({status})")
    kind = BackendTimeout if status == 504 else BackendDown  # noqa: PLR2004
    return kind(NAME, f"it answered {status}: {str(error.error)[:120]}")
