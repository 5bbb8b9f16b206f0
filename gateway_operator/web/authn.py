"""Who asks: a bearer token that the API server knows, or a client certificate of the cluster's client CA.

Nothing is believed that the API server wouldn't believe, and nobody is impersonated. Tokens are remembered as hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from fastapi import Request

from gateway_operator.errors import ApiError
from gateway_operator.kube import Api
from gateway_operator.settings_api import AccessSettings
from gateway_operator.web.access import Subject
from gateway_operator.web.caches import Memory
from gateway_operator.web.limits import Limits
from gateway_operator.web.problems import Problem, of_api_error

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="gateway-operator"'}
AUTHENTICATED = "system:authenticated"
_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_LONGEST_TOKEN = 16_384


class Authenticator:
    """Finds the user of a request."""

    def __init__(self, api: Api, settings: AccessSettings, limits: Limits) -> None:
        self._api = api
        self._settings = settings
        self._limits = limits
        self._tokens: Memory[str, Subject | None] = Memory(
            settings.entries, lambda known: settings.token_seconds if known else settings.denied_seconds
        )

    async def subject(self, request: Request) -> Subject:
        """Return the user. Raises Problem 401, 429 or 503."""
        if any(name.startswith("impersonate-") for name in request.headers):
            raise Problem(400, "ImpersonationRefused", "the API never acts as somebody else: leave the headers out")
        header = request.headers.get("authorization")
        if header is not None:
            return await self._of_token(header, request)
        certificate: bytes | None = getattr(request.state, "peer_certificate", None)
        subject = subject_of(certificate) if certificate else None
        if subject is None:
            self._limits.take(_address(request))
            raise unauthenticated("send a bearer token or a client certificate of this cluster")
        return subject

    async def _of_token(self, header: str, request: Request) -> Subject:
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN or not token.isascii():
            self._limits.take(_address(request))
            raise unauthenticated("the header Authorization must be: Bearer TOKEN")
        digest = hashlib.sha256(token.encode()).hexdigest()
        if not self._tokens.has(digest):
            self._limits.take(_address(request))  # a guesser must not become a load on the API server
        try:
            subject = await self._tokens.get(digest, lambda: self._review(token))
        except ApiError as error:
            raise of_api_error(error) from error
        if subject is None:
            raise unauthenticated("the token is not valid")
        return subject

    async def _review(self, token: str) -> Subject | None:
        spec: dict[str, Any] = {"token": token}
        if self._settings.audiences:
            spec["audiences"] = list(self._settings.audiences)
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        status = (await self._api.raw("POST", _REVIEWS, body=body)).get("status") or {}
        user = status.get("user") or {}
        if not status.get("authenticated") or not user.get("username"):
            return None
        if self._settings.audiences and not set(self._settings.audiences) & set(status.get("audiences") or ()):
            return None
        extra = tuple(sorted((key, tuple(values)) for key, values in (user.get("extra") or {}).items()))
        return Subject(user["username"], tuple(user.get("groups") or ()), str(user.get("uid") or ""), extra)


def subject_of(certificate: bytes) -> Subject | None:
    """Read user (CN) and groups (O) of a certificate (DER) that the handshake has verified; None without a CN."""
    name = x509.load_der_x509_certificate(certificate).subject
    users = _texts(name, NameOID.COMMON_NAME)
    if not users or not users[0]:
        return None
    groups = _texts(name, NameOID.ORGANIZATION_NAME)
    return Subject(users[0], (*dict.fromkeys(groups), *(() if AUTHENTICATED in groups else (AUTHENTICATED,))))


def unauthenticated(detail: str) -> Problem:
    """Make the 401."""
    return Problem(401, "Unauthenticated", detail, headers=CHALLENGE)


def _texts(name: x509.Name, oid: x509.ObjectIdentifier) -> Sequence[str]:
    return [str(attribute.value) for attribute in name.get_attributes_for_oid(oid)]


def _address(request: Request) -> str:
    return f"address {request.client.host if request.client else ''}"
