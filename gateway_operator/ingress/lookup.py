"""What hosts look up, noted, so that a changed object leads to the hosts that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from gateway_operator.ingress.certificates import CertificateError, Pair, load_secret
from gateway_operator.ingress.credentials import (
    CredentialError,
    Passwords,
    load_authority,
    load_client,
    load_passwords,
)
from gateway_operator.ingress.endpoints import BackendKey, Resolved, resolve_key
from gateway_operator.ingress.memo import Line, Memo
from gateway_operator.ingress.plan import Authority, Endpoint
from gateway_operator.ingress.snapshot import Key, Object, Snapshot

T = TypeVar("T")
Need = tuple[str, Any]  # ("secret" | "named" | "configmap", Key) or ("backend", BackendKey); named are other Secrets


class World:
    """The snapshot of this pass, and what was computed of its objects."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.backends: dict[BackendKey, Resolved] = {}
        self.names: dict[BackendKey, tuple[str, ...]] = {}
        self._endpoints = Line[BackendKey, tuple[Endpoint, ...]]()
        self.totals: Mapping[BackendKey, int] = {}  # of mirrors that tell one; replaced when one changes
        self._users: dict[Key | str, set[BackendKey]] = {}
        self.pairs = Memo[Pair | CertificateError](_caught(load_secret, CertificateError))
        self.passwords = {
            kind: Memo[Passwords | CredentialError](_caught(_password_loader(kind), CredentialError))
            for kind in ("auth-file", "auth-map")
        }
        self.authorities = Memo[Authority | CredentialError](_caught(load_authority, CredentialError))
        self.clients = Memo[tuple[Pair | None, Authority | None] | CredentialError](
            _caught(load_client, CredentialError)
        )

    def backend(self, key: BackendKey) -> Resolved:
        """Return what is known of a backend, resolved once until it is dropped."""
        found = self.backends.get(key)
        if found is None:
            found = self.backends[key] = resolve_key(self.snapshot, key)
            self._endpoints.put(key, found.endpoints)
            if found.total:
                self.totals = {**self.totals, key: found.total}
            if found.names:
                self.names[key] = found.names
            for thing in found.needs:
                self._users.setdefault(thing, set()).add(key)
        return found

    @property
    def endpoints(self) -> Mapping[BackendKey, tuple[Endpoint, ...]]:
        """All addresses; the same object until one changes."""
        return self._endpoints.now()

    def concerned(self, things: Iterable[Key | str]) -> set[BackendKey]:
        """Return the backends that depend on Services (by key) or DNS names."""
        return {key for thing in things for key in self._users.get(thing, ())}

    def forget_backend(self, key: BackendKey) -> None:
        """Drop what is known of a backend."""
        found = self.backends.pop(key, None)
        for thing in found.needs if found else ():
            self._users[thing].discard(key)
            if not self._users[thing]:
                del self._users[thing]
        self._endpoints.drop(key)
        if key in self.totals:
            self.totals = {known: total for known, total in self.totals.items() if known != key}
        self.names.pop(key, None)

    def forget_secrets(self, keys: set[Key]) -> None:
        """Drop what was learned of Secrets that changed."""
        self.pairs.forget(keys)
        self.authorities.forget(keys)
        self.clients.forget(keys)
        for memo in self.passwords.values():
            memo.forget(keys)


class Lookup:
    """One host's view of the world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.needs: set[Need] = set()

    def secret(self, key: Key) -> Object | None:
        """Return a Secret."""
        self.needs.add(("secret", key))
        return self._world.snapshot.secrets.get(key)

    def configmap(self, key: Key) -> Object | None:
        """Return a ConfigMap that an annotation names."""
        self.needs.add(("configmap", key))
        return self._world.snapshot.configmaps.get(key)

    def backend(self, key: BackendKey) -> Resolved:
        """Return what is known of a backend."""
        self.needs.add(("backend", key))
        return self._world.backend(key)

    def pair(self, key: Key) -> Pair | CertificateError | None:
        """Return a TLS Secret's pair, why it is none, or None where there is no Secret."""
        secret = self.secret(key)
        if secret is None or secret.get("type", "kubernetes.io/tls") != "kubernetes.io/tls":
            return None
        return self._world.pairs(key, secret)

    def passwords(self, key: Key, kind: str) -> Passwords:
        """Return a password list; CredentialError says why there is none."""
        return _raised(self._world.passwords[kind](key, self._named(key)))

    def authority(self, key: Key) -> Authority:
        """Return the authority in a Secret; CredentialError says why there is none."""
        return _raised(self._world.authorities(key, self._named(key)))

    def client(self, key: Key) -> tuple[Pair | None, Authority | None]:
        """Return what a Secret has for TLS to backends; CredentialError says why there is nothing."""
        return _raised(self._world.clients(key, self._named(key)))

    def _named(self, key: Key) -> Object:
        self.needs.add(("named", key))
        secret = self._world.snapshot.secrets.get(key)
        if secret is None:
            raise CredentialError(f"there is no Secret {key[1]} in namespace {key[0]}")
        return secret


def _password_loader(kind: str) -> Callable[[Object], Passwords]:
    return lambda secret: load_passwords(secret, kind)


def _caught(load: Callable[[Mapping[str, Any]], T], error: type[Exception]) -> Callable[[Mapping[str, Any]], Any]:
    def safe(secret: Mapping[str, Any]) -> T | Exception:
        try:
            return load(secret)
        except error as caught:
            return caught

    return safe


def _raised(found: T | CredentialError) -> T:
    if isinstance(found, CredentialError):
        raise found
    return found
