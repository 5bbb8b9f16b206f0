"""The webhook's own certificates: made here, and exchanged before they end without an untrusted moment in between.

Each certificate has an authority of its own whose key is thrown away after the one signature, so that nobody can sign
with it later. `step` is the whole rotation as a pure function; `keeper` carries it out.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway_operator.ingress.certificates import CertificateError, load_pair

BACKDATED = dt.timedelta(hours=1)  # clocks differ
_WHOLE_LIFE = 3  # the next certificate is made after two thirds


@dataclass(frozen=True)
class Times:
    """`life` of a certificate, and `settle`: how long API servers may take to see a new authority."""

    life: dt.timedelta = dt.timedelta(days=90)
    settle: dt.timedelta = dt.timedelta(seconds=60)


@dataclass(frozen=True)
class ServingPair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class Keys:
    """What lies in the Secret: authorities that are to be trusted (PEM), the pair in use and the one to come."""

    authorities: bytes = b""
    current: ServingPair | None = None
    next: ServingPair | None = None


def step(keys: Keys, names: Sequence[str], now: dt.datetime, *, trusted: bytes, times: Times) -> Keys:
    """Return what the Secret should hold now; `trusted` is the webhook configuration's bundle as it is."""
    authorities = [found for found in _parsed(keys.authorities) if found.not_valid_after_utc > now]
    keys = replace(keys, authorities=_pem(authorities))
    if keys.next is not None and not _good(keys.next, names, now, authorities):
        keys = replace(keys, next=None)
    if not _good(keys.current, names, now, authorities):
        return _promoted(keys) if keys.next else _begun(keys, names, now, times)
    if keys.next is not None:
        waited = now - _began(keys.next) >= times.settle
        return _promoted(keys) if waited and _good(keys.next, names, now, _parsed(trusted)) else keys
    if _is_old(keys.current, now):
        authority, pair = make(names, now, times.life)
        return replace(keys, authorities=keys.authorities + authority, next=pair)
    return keys


def make(names: Sequence[str], now: dt.datetime, life: dt.timedelta) -> tuple[bytes, ServingPair]:
    """Make an authority (PEM) and the one certificate that it signs, for DNS names and addresses."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"gateway admission {x509.random_serial_number():x}"[:64])
    period = (now - BACKDATED, now + life)
    usage = x509.BasicConstraints(ca=True, path_length=0)
    authority = (
        _builder(subject, subject, authority_key, period)
        .add_extension(usage, critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    serving = (
        _builder(_name(names[0][:64]), subject, key, period)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _pem([authority]), ServingPair(_pem([serving]), private)


def _begun(keys: Keys, names: Sequence[str], now: dt.datetime, times: Times) -> Keys:
    authority, pair = make(names, now, times.life)
    return Keys(keys.authorities + authority, pair)


def _promoted(keys: Keys) -> Keys:
    return replace(keys, current=keys.next, next=None)


def _good(
    pair: ServingPair | None, names: Iterable[str], now: dt.datetime, authorities: list[x509.Certificate]
) -> bool:
    """Tell whether a pair can be served: whole, in its time, for these names, signed by one of the authorities."""
    if pair is None:
        return False
    try:
        load_pair(pair.certificate, pair.key)
    except CertificateError:
        return False
    leaf = x509.load_pem_x509_certificate(pair.certificate)
    try:
        has = {str(name.value) for name in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value}
    except (x509.ExtensionNotFound, ValueError):
        return False
    if not set(names) <= has or not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        return False
    return any(_signed(leaf, authority) for authority in authorities)


def _signed(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _began(pair: ServingPair) -> dt.datetime:
    return x509.load_pem_x509_certificate(pair.certificate).not_valid_before_utc + BACKDATED


def _is_old(pair: ServingPair | None, now: dt.datetime) -> bool:
    assert pair is not None  # noqa: S101  (the caller looked)
    ends = x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc
    return now > ends - (ends - _began(pair)) / _WHOLE_LIFE


def _parsed(bundle: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return []


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(item.public_bytes(serialization.Encoding.PEM) for item in certificates)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    period: tuple[dt.datetime, dt.datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(period[0])
        .not_valid_after(period[1])
    )
