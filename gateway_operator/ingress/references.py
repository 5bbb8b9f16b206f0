"""What the annotations of one Ingress name elsewhere: Secrets, ConfigMaps, Services and URLs, looked up and checked.

What shuts people out must not fail open: where a password list, an authority or an authentication service can't be had,
the paths answer 503 and the Ingress is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway_operator.ingress import annotation_readers as read
from gateway_operator.ingress.annotation_rows import PREFIX
from gateway_operator.ingress.annotation_table import BY_KEY
from gateway_operator.ingress.certificates import Pair
from gateway_operator.ingress.credentials import CredentialError
from gateway_operator.ingress.endpoints import FIRST_PORT, BackendKey, Mode, Resolved
from gateway_operator.ingress.gateway_config import GatewayConfig
from gateway_operator.ingress.grammar import shown
from gateway_operator.ingress.graph_types import Access, Auth, Backend
from gateway_operator.ingress.lookup import Lookup
from gateway_operator.ingress.parse import IngressRules
from gateway_operator.ingress.plan import Authority, PasswordFile
from gateway_operator.ingress.problems import Problem
from gateway_operator.ingress.snapshot import Key

SHUT = "; its paths answer 503 until then"


class _Refused(ValueError):
    """An annotation that can't be followed; the text is for the Event."""


def backend_of(key: BackendKey, found: Resolved) -> Backend:
    """Return a backend as routes see it."""
    return Backend(key.namespace, key.service, found.port, key, bool(found.endpoints))


@dataclass
class References:
    """One Ingress in one host."""

    rules: IngressRules
    lookup: Lookup
    config: GatewayConfig
    problems: list[Problem] = field(default_factory=list)
    closed: str = ""

    def access(self) -> Access:
        """Look up everything; problems gather in `problems`."""
        notes = self.rules.annotations
        self.closed = notes.closed or self.config.closed
        passwords = self._passwords()
        auth = self._auth()
        pair, authority = self._client()
        error_backend = self._error_backend()
        return Access(self.closed, passwords, auth, pair, authority, error_backend, self._headers())

    def _tell(self, name: str, text: str, *, shut: bool, reason: str = "InvalidReference") -> None:
        row = BY_KEY[PREFIX + name]
        message = text + (SHUT if shut else "")
        self.problems.append(Problem(self.rules.ref, reason, f"metadata.annotations[{row.key}]", message))
        if shut:
            self.closed = self.closed or f"annotation {name} can't be followed"

    def _own(self, reference: read.Ref) -> Key:
        """Return the key of a named object; another namespace's is refused."""
        namespace, name = reference
        if namespace and namespace != self.rules.ref.namespace:
            raise _Refused(f"{shown(name)} must lie in the Ingress's own namespace, not in {shown(namespace)}")
        return (self.rules.ref.namespace, name)

    def _passwords(self) -> PasswordFile | None:
        auth = self.rules.annotations.auth
        if auth.auth_type is None:
            if auth.auth_secret is not None:
                self._tell("auth-secret", "it has no effect without auth-type", shut=False)
            return None
        if auth.auth_secret is None:
            if not self.closed:
                self._tell("auth-type", "it needs auth-secret", shut=True)
            return None
        try:
            found = self.lookup.passwords(self._own(auth.auth_secret), auth.auth_secret_type or "auth-file")
        except (CredentialError, _Refused) as error:
            self._tell("auth-secret", str(error), shut=True)
            return None
        if found.bad_lines:
            text = f"{found.bad_lines} of its lines are left out: they are no user:hash of a scheme that nginx knows"
            self._tell("auth-secret", text, shut=False)
        return found.file

    def _auth(self) -> Auth | None:
        """Return who decides by URL; the host's own paths are found later, when all of them are known."""
        url = self.rules.annotations.auth.auth_url
        if url is None or not url.host:
            return None
        key = BackendKey("", url.host, str(url.port), Mode.NAME)
        found = self.lookup.backend(key)
        if found.endpoints:
            return Auth(url, backend_of(key, found), url.tls)
        text = found.error or f"{shown(url.host)} has no address now"
        self._tell("auth-url", text, shut=True, reason=found.reason or "AuthUnavailable")
        return None

    def global_auth(self) -> Auth | None:
        """Return the gateway-wide decider, where this Ingress doesn't opt out and has none of its own."""
        wanted, notes = self.config.global_auth, self.rules.annotations.auth
        if wanted is None or notes.enable_global_auth is False or notes.auth_url is not None:
            return None
        key = BackendKey("", wanted.url.host, str(wanted.url.port), Mode.NAME)
        return Auth(wanted.url, backend_of(key, self.lookup.backend(key)), wanted.url.tls, is_global=True)

    def _client(self) -> tuple[Pair | None, Authority | None]:
        notes = self.rules.annotations.backend
        pair: Pair | None = None
        authority: Authority | None = None
        if notes.proxy_ssl_secret is not None:
            try:
                pair, authority = self.lookup.client(self._own(notes.proxy_ssl_secret))
            except (CredentialError, _Refused) as error:
                self._tell("proxy-ssl-secret", str(error), shut=True)
                return None, None
        if notes.proxy_ssl_verify and authority is None:
            self._tell("proxy-ssl-verify", "nothing is verified: proxy-ssl-secret has no ca.crt", shut=False)
        return pair, authority

    def _error_backend(self) -> Backend | None:
        name = self.rules.annotations.backend.default_backend
        if name is None:
            return None
        key = BackendKey(self.rules.ref.namespace, name, FIRST_PORT)
        found = self.lookup.backend(key)
        if found.error:
            self._tell("default-backend", found.error, shut=False, reason=found.reason)
        return backend_of(key, found)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        named = self.rules.annotations.backend.custom_headers
        if named is None:
            return ()
        try:
            key = self._own(named)
            found = self.lookup.configmap(key)
            if found is None:
                raise _Refused(f"there is no ConfigMap {key[1]} in namespace {key[0]}")  # noqa: TRY301
        except _Refused as error:
            self._tell("custom-headers", str(error), shut=False)
            return ()
        data = found.get("data") or {}
        return tuple(self._allowed({str(name): str(data[name]) for name in data}))

    def _allowed(self, data: dict[str, str]) -> Iterator[tuple[str, str]]:
        for name in sorted(data):
            try:
                header, value = read.header_name(name), read.response_value(data[name])
            except ValueError as error:
                self._tell("custom-headers", f"{shown(name)} {error}; it is left out", shut=False)
                continue
            if header.lower() in self.config.allowed_headers:
                yield header, value
            else:
                text = f"header {header} is left out: the ConfigMap's global-allowed-response-headers hasn't got it"
                self._tell("custom-headers", text, shut=False)
