"""Secrets that Ingresses name for access: password lists, authorities, and pairs for TLS to backends, all checked.

nginx reads these files; a line that it can't read locks everybody out, and an authority that OpenSSL refuses stops
every reload. So each is parsed here and written anew. Texts of errors never hold any content of a Secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway_operator.ingress.certificates import CertificateError, Pair, load_pair
from gateway_operator.ingress.plan import Authority, PasswordFile

MAX_BYTES = 1 << 20
_USER = re.compile(r"[^\x00-\x20\x7f:]{1,255}")
_HASH = re.compile(
    r"\$(apr1|1|5|6)\$(rounds=\d{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{22,86}"
    r"|\$2[abxy]\$\d{2}\$[./A-Za-z0-9]{53}"
    r"|\$(y|gy)\$[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}"
    r"|\{SHA\}[A-Za-z0-9+/]{27}="
    r"|\{SSHA\}[A-Za-z0-9+/]{28,100}={0,2}"
    r"|\{PLAIN\}[!-~]{1,255}"
    r"|[./A-Za-z0-9]{13}",
    re.ASCII,
)
_CRL = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)


class CredentialError(ValueError):
    """Why a Secret can't be used."""


@dataclass(frozen=True)
class Passwords:
    """A usable list, and how many of its lines were left out."""

    file: PasswordFile
    bad_lines: int = 0


def load_passwords(secret: Mapping[str, Any], kind: str) -> Passwords:
    """Read a Secret of kind `auth-file` (htpasswd lines under `auth`) or `auth-map` (a hash for each user)."""
    data = secret.get("data") or {}
    if kind == "auth-map":
        given = [f"{user}:{_decoded(data, user)}" for user in sorted(data)]
    else:
        given = [line for line in _decoded(data, "auth").splitlines() if line.strip() and not line.startswith("#")]
    good = [line.strip() for line in given if _is_password(line.strip())]
    if not good:
        raise CredentialError("it has no line user:hash of a scheme that nginx knows")
    text = "".join(f"{line}\n" for line in good).encode()
    return Passwords(PasswordFile(hashlib.sha256(text).hexdigest()[:32], text), len(given) - len(good))


def _is_password(line: str) -> bool:
    user, _, rest = line.partition(":")
    return bool(_USER.fullmatch(user) and _HASH.fullmatch(rest.partition(":")[0]))


def load_authority(secret: Mapping[str, Any]) -> Authority:
    """Read `ca.crt`, one or more certificates, and `ca.crl` behind it when it is there."""
    data = secret.get("data") or {}
    try:
        certificates = x509.load_pem_x509_certificates(_bytes(data, "ca.crt"))
        lists = list(_revocations(_bytes(data, "ca.crl"))) if "ca.crl" in data else []
    except ValueError as error:
        raise error if isinstance(error, CredentialError) else CredentialError("ca.crt or ca.crl is no PEM") from None
    pem = b"".join([item.public_bytes(Encoding.PEM) for item in certificates])
    pem += b"".join([item.public_bytes(Encoding.PEM) for item in lists])
    return Authority(hashlib.sha256(pem).hexdigest()[:32], pem)


def _revocations(text: bytes) -> Iterator[x509.CertificateRevocationList]:
    blocks = _CRL.findall(text)
    if not blocks:
        raise CredentialError("ca.crl holds no revocation list in PEM")
    yield from map(x509.load_pem_x509_crl, blocks)


def load_client(secret: Mapping[str, Any]) -> tuple[Pair | None, Authority | None]:
    """Read a `proxy-ssl-secret`: a pair to show to backends, an authority to check theirs, or both."""
    data = secret.get("data") or {}
    try:
        pair = load_pair(_bytes(data, "tls.crt"), _bytes(data, "tls.key")) if data.get("tls.crt") else None
    except CertificateError as error:
        raise CredentialError(str(error)) from None
    authority = load_authority(secret) if data.get("ca.crt") else None
    if pair is None and authority is None:
        raise CredentialError("it has neither tls.crt nor ca.crt")
    return pair, authority


def _decoded(data: Mapping[str, Any], name: str) -> str:
    try:
        return _bytes(data, name).decode()
    except UnicodeDecodeError:
        raise CredentialError("its data is no UTF-8 text") from None


def _bytes(data: Mapping[str, Any], name: str) -> bytes:
    if name not in data:
        raise CredentialError(f"it has no key {name}")
    text = str(data[name])
    if len(text) > MAX_BYTES:
        raise CredentialError(f"its data is longer than {MAX_BYTES} bytes")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise CredentialError("its data is no base64") from None
