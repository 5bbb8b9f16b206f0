"""The certificate for hosts that have none, kept beside nginx's configuration: a new one would be a reload.

Only this pod's containers see the folder, and the certificate is nobody's secret: clients can't trust it anyway.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from gateway_operator.ingress.certificates import CertificateError, Pair, load_pair, self_signed
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

FILE = "fallback.pem"
LEFT = 30 * 86400.0  # s; a pod that runs as long as that gets a new one when it starts again
_CHAIN = re.compile(rb"-----BEGIN CERTIFICATE-----.*-----END CERTIFICATE-----\n", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN PRIVATE KEY-----.*-----END PRIVATE KEY-----\n", re.DOTALL)


def own_certificate(folder: Path) -> Pair:
    """Return the kept certificate, or a new one, kept from now on where the folder can be written."""
    path = folder / FILE
    try:
        found = _read(path.read_bytes())
    except (OSError, CertificateError):
        found = None
    if found is not None and found.expires > time.time() + LEFT:
        return found
    made = self_signed()
    try:
        aside = folder / f".{FILE}.new"
        aside.touch(mode=0o640)
        aside.write_bytes(made.certificate.pem)
        aside.replace(path)
    except OSError as error:
        log.warning("the certificate for unknown hosts isn't kept", error=str(error))
    return made


def _read(pem: bytes) -> Pair | None:
    chain, key = _CHAIN.search(pem), _KEY.search(pem)
    return load_pair(chain[0], key[0]) if chain and key else None
