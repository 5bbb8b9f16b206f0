"""TLS Secrets checked before nginx sees them, because one pair that OpenSSL refuses would stop every reload."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, NameOID

from gateway_operator.ingress.plan import Certificate

LONGEST_NAME = 128  # characters of an issuer's name in the metric
_ALGORITHMS = (
    (rsa.RSAPublicKey, "RSA"),
    (ec.EllipticCurvePublicKey, "ECDSA"),
    (ed25519.Ed25519PublicKey, "Ed25519"),
)


class CertificateError(ValueError):
    """Why a Secret can't be used; the text never holds any of its content."""


class Facts(NamedTuple):
    """What upstream's metric says of a certificate, under its labels' names; `identifier` tells any two apart."""

    identifier: str = ""
    issuer_organization: str = ""
    issuer_common_name: str = ""
    serial_number: str = ""
    public_key_algorithm: str = ""


NO_FACTS = Facts()


@dataclass(frozen=True)
class Pair:
    """A usable certificate with its key, and what it is good for."""

    certificate: Certificate
    names: tuple[str, ...]
    expires: float
    common_name: str = ""
    facts: Facts = NO_FACTS

    def covers(self, host: str) -> bool:
        """Tell whether the certificate is good for a host; `*.name` needs the same wildcard in the certificate."""
        wildcard = "*." + host.partition(".")[2]
        return any(name in {host, wildcard} for name in self.names or (self.common_name,))


def load_secret(secret: Mapping[str, Any]) -> Pair:
    """Check a `kubernetes.io/tls` Secret."""
    data = secret.get("data") or {}
    try:
        chain, key = (base64.b64decode(data[name], validate=True) for name in ("tls.crt", "tls.key"))
    except KeyError as error:
        raise CertificateError(f"it has no {error.args[0]}") from None
    except binascii.Error:
        raise CertificateError("its data is no base64") from None
    return load_pair(chain, key)


def load_pair(chain_pem: bytes, key_pem: bytes) -> Pair:
    """Parse a PEM chain and its key, write them anew, and let OpenSSL say whether it would serve them."""
    try:
        chain = x509.load_pem_x509_certificates(chain_pem)
    except ValueError:
        raise CertificateError("tls.crt is no PEM certificate") from None
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError):
        raise CertificateError("tls.key is no PEM private key without a password") from None
    public = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if chain[0].public_key().public_bytes(*public) != key.public_key().public_bytes(*public):
        raise CertificateError("tls.key doesn't belong to the first certificate in tls.crt")
    pem = b"".join(item.public_bytes(serialization.Encoding.PEM) for item in chain) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _ask_openssl(pem)
    return Pair(
        Certificate(hashlib.sha256(pem).hexdigest()[:32], pem),
        _dns_names(chain[0]),
        chain[0].not_valid_after_utc.timestamp(),
        _common_name(chain[0]),
        _facts(chain[0]),
    )


def self_signed() -> Pair:
    """Make the certificate for hosts that have none: upstream's subject, valid for a year."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Kubernetes Ingress Controller Fake Certificate")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("ingress.local")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return load_pair(certificate.public_bytes(serialization.Encoding.PEM), key_pem)


def _ask_openssl(pem: bytes) -> None:
    """Load the pair as nginx will: this finds keys that are too small and digests that are too weak."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=2")
    handle = os.memfd_create("pair", os.MFD_CLOEXEC)
    try:
        os.write(handle, pem)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    except ssl.SSLError as error:
        raise CertificateError(f"OpenSSL refuses it: {error.reason or 'unknown reason'}") from None
    finally:
        os.close(handle)


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    assert isinstance(names, x509.SubjectAlternativeName)  # noqa: S101  (narrows a type)
    return tuple(sorted(name.lower() for name in names.get_values_for_type(x509.DNSName)))


def _facts(certificate: x509.Certificate) -> Facts:
    serial, issuer = str(certificate.serial_number), certificate.issuer
    key = certificate.public_key()
    return Facts(
        f"{certificate.fingerprint(hashes.SHA256()).hex()}-{serial}",
        _first(issuer, NameOID.ORGANIZATION_NAME)[:LONGEST_NAME],
        _first(issuer, NameOID.COMMON_NAME)[:LONGEST_NAME],
        serial,
        next((name for kind, name in _ALGORITHMS if isinstance(key, kind)), "Unknown"),
    )


def _first(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = name.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def _common_name(certificate: x509.Certificate) -> str:
    return _first(certificate.subject, NameOID.COMMON_NAME).lower()
