"""Credentials for kopf, which has an HTTP client of its own: the same that our client found.

They are asked for at each login: tokens of service accounts are rotated, and kopf logs in again on a 401.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

import kopf

from gateway_operator.kube import Api

Login = Callable[[], Awaitable[kopf.ConnectionInfo]]


class _Connection(kopf.ConnectionInfo):
    """Checks certificates as our own client does: Python 3.13's strict rules refuse the CAs of many live clusters."""

    def as_ssl_context(self) -> ssl.SSLContext:
        context = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def login_of(api: Api) -> Login:
    """Return kopf's login for the cluster of `api`."""
    configuration = api.connection.configuration

    async def login() -> kopf.ConnectionInfo:
        token = await configuration.get_api_key_with_prefix("BearerToken")
        scheme, _, secret = (token or "").rpartition(" ")
        return _Connection(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert or None,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file or None,
            private_key_path=configuration.key_file or None,
            username=configuration.username or None,
            password=configuration.password or None,
            scheme=scheme or None,
            token=secret or None,
            proxy_url=configuration.proxy or None,
        )

    return login
