"""Asks Prometheus; the only importer of prometheus_api_client.

The library blocks, waits for ever by default and puts queries into URLs. Here its requests run in a small pool of
threads, each with a deadline for the whole answer and a limit on its size, so a Prometheus that hangs, drips or sends
too much costs one thread for some seconds and never the event loop. Queries travel in the body: URLs lie in logs.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests.auth import AuthBase, HTTPBasicAuth
from requests.structures import CaseInsensitiveDict

from gateway_operator.observe.errors import BackendDown, BackendTimeout, BadQuery
from gateway_operator.settings_api import PrometheusSettings

NAME = "prometheus"
_BITE = 65536
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/x-www-form-urlencoded",
}
_SLACK = 1.0  # s that the loop waits longer than a thread, which tells more exactly what happened
_NONSENSE = (ValueError, KeyError, IndexError, TypeError, AttributeError)
Series = list[dict[str, Any]]
Shape = TypeVar("Shape")


@dataclass(frozen=True)
class Instant:
    """One moment, in unix seconds."""

    at: float


@dataclass(frozen=True)
class Span:
    """Each `step` seconds from start to end, whole unix seconds."""

    start: int
    end: int
    step: int


class Prometheus:
    """One Prometheus (or Thanos, Mimir, VictoriaMetrics: whatever has its query API)."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.connections, thread_name_prefix=NAME)
        self._own = threading.local()
        self._clients: list[_Client] = []

    async def query(self, text: str, when: Instant | Span) -> Series:
        """Return the series that an expression gives.

        Raises BackendDown, BackendTimeout, and BadQuery where Prometheus can't make sense of the text.
        """
        return await self.shaped(text, when, lambda series: series)

    async def shaped(self, text: str, when: Instant | Span, shape: Callable[[Series], Shape]) -> Shape:
        """Return what `shape` makes, in the thread, of the series that an expression gives; raises as `query` does."""
        deadline = time.monotonic() + self._settings.timeout
        return await self._in_thread(lambda: self._query(text, when, shape, deadline))

    async def check(self) -> None:
        """Raise BackendDown or BackendTimeout unless it answers queries."""
        await self.query("vector(1)", Instant(time.time()))

    async def close(self) -> None:
        """Forget what waits and close idle connections; what runs ends by its deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients:
            client.connect.close()

    async def _in_thread(self, work: Callable[[], Shape]) -> Shape:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.timeout + _SLACK):
                return await loop.run_in_executor(self._threads, work)
        except TimeoutError as error:
            raise BackendTimeout(NAME, f"no answer within {self._settings.timeout:g} s") from error

    def _query(self, text: str, when: Instant | Span, shape: Callable[[Series], Shape], deadline: float) -> Shape:
        """Ask; in a thread."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise BackendTimeout(NAME, "too many questions wait for it")
        client = self._client()
        client.session.deadline = deadline
        bounds = {"timeout": f"{math.ceil(left * 1000)}ms"}
        try:
            if isinstance(when, Instant):
                found = client.connect.custom_query(text, {"time": f"{when.at:.3f}", **bounds})
            else:
                times = (datetime.fromtimestamp(at, UTC) for at in (when.start, when.end))
                found = client.connect.custom_query_range(text, *times, step=str(when.step), params=bounds)
        except PrometheusApiClientException as error:
            raise _refused(client.session.status, client.session.said) from error
        except requests.Timeout as error:
            raise BackendTimeout(NAME, f"no answer within {self._settings.timeout:g} s") from error
        except requests.exceptions.InvalidJSONError as error:
            raise BackendDown(NAME, "its answer isn't that of Prometheus") from error
        except (requests.RequestException, OSError) as error:
            raise BackendDown(NAME, _reason(error)) from error
        except _NONSENSE as error:
            raise BackendDown(NAME, "its answer isn't that of Prometheus") from error
        try:
            return shape(_listed(found))
        except _NONSENSE as error:
            raise BackendDown(NAME, "its answer isn't that of Prometheus") from error

    def _client(self) -> _Client:
        """Return this thread's own client: sessions of requests aren't made to be shared."""
        found = getattr(self._own, "client", None)
        if found is None:
            found = self._own.client = _Client(self._settings)
            self._clients.append(found)
        return cast("_Client", found)


class _Client:
    """The library with a session of ours."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self.session = _Session(settings)
        self.connect = PrometheusConnect(
            url=str(settings.url).rstrip("/"),
            session=self.session,
            method="POST",
            retry=cast("Any", 0),  # its default waits for seconds; `_Session` tries again itself
        )


class _Session(requests.Session):
    """Reads answers against the clock, and keeps out of the URL what belongs into the body."""

    def __init__(self, settings: PrometheusSettings) -> None:
        super().__init__()
        self._limit = settings.answer_bytes
        self.deadline = 0.0
        self.status, self.said = 0, b""
        self._authorities: str | bool = str(settings.ca_file) if settings.ca_file else True
        self.credentials = _Credentials(settings)

    def request(  # type: ignore[override]
        self, method: str, url: str, params: Mapping[str, Any] | None = None, **_: Any
    ) -> requests.Response:
        """Send a form with the deadline's rest as time limit; the answer is complete when this returns.

        The adapter is used directly: what a session adds (redirects, cookies, proxies) is not wanted, and takes longer
        than many answers of Prometheus.
        """
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url = method, url
        prepared.headers = CaseInsensitiveDict(_HEADERS)
        prepared.prepare_body(urlencode(params or {}), None)
        self.credentials(prepared)
        try:
            response = self._sent(prepared)
        except requests.Timeout:
            raise
        except requests.ConnectionError:  # perhaps an idle connection that it had closed
            response = self._sent(prepared)
        with response:
            content = bytearray()
            for bite in response.iter_content(_BITE):
                content += bite
                if time.monotonic() > self.deadline:
                    raise requests.Timeout("the answer came too slowly")
                if len(content) > self._limit:
                    raise BackendDown(NAME, f"its answer has more than {self._limit} bytes")
        response._content = bytes(content)  # noqa: SLF001 - what reading without `stream` would have set
        self.status, self.said = response.status_code, response._content[:2000]  # noqa: SLF001
        return response

    def _sent(self, prepared: requests.PreparedRequest) -> requests.Response:
        adapter = self.get_adapter(str(prepared.url))
        return adapter.send(prepared, stream=True, timeout=self._left(), verify=self._authorities)

    def _left(self) -> float:
        return max(self.deadline - time.monotonic(), 0.1)


class _Credentials(AuthBase):
    """Bearer token or user and password from files, read each time: tokens of service accounts change."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self._settings = settings

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        settings = self._settings
        if settings.bearer_token_file:
            request.headers["Authorization"] = f"Bearer {_secret(settings.bearer_token_file)}"
        elif settings.username and settings.password_file:
            HTTPBasicAuth(settings.username.encode(), _secret(settings.password_file).encode())(request)
        return request


def _secret(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise BackendDown(NAME, "the file with its credentials can't be read") from error


def _refused(status: int, said: bytes) -> Exception:
    """Tell apart what is wrong with the query, with our rights and with Prometheus."""
    if status in {400, 422} and (b'"bad_data"' in said or b'"execution"' in said):
        return BadQuery("query", "Prometheus can't evaluate it: a filter may be too complicated, or the range too long")
    if status == 503 and b'"timeout"' in said:  # noqa: PLR2004
        return BackendTimeout(NAME, "it gave up on the query")
    if status in {401, 403}:
        return BackendDown(NAME, f"it refuses our credentials ({status})")
    return BackendDown(NAME, f"it answers {status}")


def _reason(error: Exception) -> str:
    """Say why it can't be reached, without addresses: clients needn't know them."""
    if isinstance(error, requests.exceptions.SSLError | ssl.SSLError):
        return "its certificate isn't trusted"
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return "its answer breaks off"
    if isinstance(error, requests.ConnectionError):
        return "it can't be reached"
    return "its answer can't be used"


def _listed(found: Any) -> Series:
    if not isinstance(found, list):
        raise TypeError("no list of series")
    return found
