"""The server's certificate and the authority of its clients, as they are now.

Each handshake takes the newest context, so that renewed files and a rotated client CA count without a restart and
without a broken connection. Sessions are never resumed: a resumed one would skip the look at a client's certificate.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

from gateway_operator.errors import ApiError, ConfigError
from gateway_operator.kube import Api
from gateway_operator.settings_api import TlsSettings
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)
_LOOK_SECONDS = 10.0
_CONFIGMAP = ("extension-apiserver-authentication", "kube-system")
_KEY = "client-ca-file"


class Certificates:
    """The TLS contexts of the server; `outer` is what listens."""

    def __init__(self, settings: TlsSettings, api: Api) -> None:
        self._settings = settings
        self._api = api
        self._read: tuple[Any, ...] = ()
        self._current: ssl.SSLContext | None = None
        self.outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def open(self) -> None:
        """Read all for the first time. Raises ConfigError."""
        await self._look(await self._client_ca())
        assert self._settings.cert_file  # noqa: S101 - checked by whoever makes this
        self.outer.load_cert_chain(self._settings.cert_file, self._settings.key_file)
        _harden(self.outer)
        self.outer.sni_callback = self._choose

    async def run(self) -> None:
        """Look for changes until cancelled; what can't be read leaves the last good state."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look for changes once."""
        try:
            await self._look(await self._client_ca())
        except ConfigError as error:
            log.warning("certificates can't be read; the last ones stay", error=str(error))

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _outer: ssl.SSLContext) -> None:
        if self._current is not None:
            connection.context = self._current

    async def _look(self, client_ca: str) -> None:
        chosen = self._settings
        try:
            read = (_content(chosen.cert_file), _content(chosen.key_file), client_ca)
            if read == self._read:
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(str(chosen.cert_file), str(chosen.key_file))
            _harden(context)
            if client_ca:
                context.load_verify_locations(cadata=client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigError(f"api.tls: {chosen.cert_file}, {chosen.key_file} or the client CA: {error}") from error
        # The mode of the handshake is the outer context's; whom it believes is the inner one's.
        self.outer.verify_mode = context.verify_mode
        if self._current is not None:
            log.info("certificates were read again")
        self._current, self._read = context, read

    async def _client_ca(self) -> str:
        """Return the authority of client certificates as PEM, "" for none."""
        if not self._settings.client_certificates:
            return ""
        if self._settings.client_ca_file:
            return _content(self._settings.client_ca_file)
        try:
            found = await self._api.find(await self._api.resource("v1", "ConfigMap"), *_CONFIGMAP)
        except ApiError as error:
            if self._read:
                return str(self._read[2])
            log.warning("client certificates are off: the cluster's client CA can't be read", error=str(error))
            return ""
        return str(((found or {}).get("data") or {}).get(_KEY) or "")


def _content(path: Path | None) -> str:
    try:
        return path.read_text(encoding="ascii") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"api.tls: {path}: {error}") from error


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
