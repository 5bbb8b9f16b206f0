"""The certificate that the webhook's port shows: followed in a Secret or in mounted files, exchanged while it listens.

A new pair goes into the TLS context in use: connections that stand go on, new ones see the new certificate.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path

from gateway_operator.ingress.admission.certificates import ServingPair
from gateway_operator.ingress.admission.keeper import read_keys
from gateway_operator.ingress.certificates import CertificateError, load_pair
from gateway_operator.ingress.sources import SECRETS
from gateway_operator.kube import Api, Informer
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

LOOK_EVERY = 10.0  # kubelet itself takes about a minute to bring a new Secret into a pod's files


class ServingContext:
    """A TLS context that gets its pair later; `ready` is set with the first good one."""

    def __init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self.ready = asyncio.Event()
        self._shown: ServingPair | None = None

    def show(self, pair: ServingPair | None) -> None:
        """Take a pair; a bad one is logged, and the last good one stays."""
        if pair is None or pair == self._shown:
            return
        try:
            checked = load_pair(pair.certificate, pair.key)
        except CertificateError as error:
            log.warning("the webhook's new certificate can't be used", error=str(error))
            return
        _load(self.context, checked.certificate.pem)
        self._shown = pair
        self.ready.set()
        log.info("the webhook has a certificate", expires=checked.expires)


async def follow_secret(api: Api, secret: tuple[str, str], serving: ServingContext) -> None:
    """Show the pair of a Secret, (namespace, name), until cancelled."""
    namespace, name = secret
    informer = Informer(
        api,
        SECRETS,
        namespace=namespace,
        field_selector=f"metadata.name={name}",
        on_event=lambda _type, obj, _previous: serving.show(read_keys(obj).current),
    )
    await informer.run()


async def follow_files(certificate: Path, key: Path, serving: ServingContext, look_every: float = LOOK_EVERY) -> None:
    """Show the pair of two PEM files until cancelled; they may come later, and change."""
    while True:
        serving.show(await asyncio.to_thread(_read, certificate, key))
        await asyncio.sleep(look_every)


def _read(certificate: Path, key: Path) -> ServingPair | None:
    try:
        return ServingPair(certificate.read_bytes(), key.read_bytes())
    except OSError:
        return None


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    handle = os.memfd_create("webhook", os.MFD_CLOEXEC)
    try:
        os.write(handle, pem)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
