"""Credentials for kopf, which has an HTTP client of its own: the same that our client found.

They are asked for at each login: tokens of service accounts are rotated, and kopf logs in again on a 401. The session
is made here, too, because kopf shows nobody when its streams last heard from the API server.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import aiohttp
import kopf

from gateway_operator.kube import Api

Heard = Callable[[int, bool], None]  # HTTP status of an answer, and whether it begins a watch
Login = Callable[[Heard], Awaitable[kopf.AiohttpSession]]


class _Connection(kopf.ConnectionInfo):
    """Checks certificates as our own client does: Python 3.13's strict rules refuse the CAs of many live clusters."""

    def as_ssl_context(self) -> ssl.SSLContext:
        context = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def login_of(api: Api) -> Login:
    """Return kopf's login for the cluster of `api`; it calls `heard` for each answer, in kopf's thread."""
    configuration = api.connection.configuration

    async def login(heard: Heard) -> kopf.AiohttpSession:
        token = await configuration.get_api_key_with_prefix("BearerToken")
        scheme, _, secret = (token or "").rpartition(" ")
        info = _Connection(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert or None,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file or None,
            private_key_path=configuration.key_file or None,
            username=configuration.username or None,
            password=configuration.password or None,
            scheme=scheme or None,
            token=secret or None,
        )
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers=info.as_http_headers(),
            proxy=configuration.proxy or None,
            trace_configs=[_trace(heard)],
        )
        return kopf.AiohttpSession(server=info.server, aiohttp_session=session)

    return login


def _trace(heard: Heard) -> aiohttp.TraceConfig:
    async def ended(
        _session: aiohttp.ClientSession, _context: SimpleNamespace, answer: aiohttp.TraceRequestEndParams
    ) -> None:
        heard(answer.response.status, answer.url.query.get("watch") == "true")

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(ended)
    return trace
