"""Reads a kubeconfig that somebody else wrote, as data only.

A kubeconfig can name programs to run, files to read and proxies to go through, all of which would happen with the
operator's rights; each is refused by name. Errors name the field, never what stands in it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import yaml

from gateway_operator.crds.traffic import TrafficReason
from gateway_operator.errors import ConfigError
from gateway_operator.kube import Credentials

MAX_BYTES = 256 * 1024
_CLUSTER_REFUSED = {
    "certificate-authority": "names a file; put the text into certificate-authority-data",
    "proxy-url": "leads through a proxy, which isn't followed",
}
_USER_REFUSED = {
    "exec": "runs a program, which is never done; use a token or a certificate",
    "auth-provider": "runs a program, which is never done; use a token or a certificate",
    "tokenFile": "names a file; put the text into token",
    "client-certificate": "names a file; put the text into client-certificate-data",
    "client-key": "names a file; put the text into client-key-data",
    "username": "is a password, which API servers take no more; use a token or a certificate",
    "password": "is a password, which API servers take no more; use a token or a certificate",
    "as": "acts as somebody else; give a credential of its own",
    "as-uid": "acts as somebody else; give a credential of its own",
    "as-groups": "acts as somebody else; give a credential of its own",
    "as-user-extra": "acts as somebody else; give a credential of its own",
}


class KubeconfigError(ConfigError):
    """A kubeconfig that can't be used: `reason` for the condition, a text that repeats nothing of its content."""

    def __init__(self, reason: TrafficReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse(text: str | bytes, context: str | None = None, *, allow_insecure: bool = False) -> Credentials:
    """Return the credentials of one context (None: the current one). Raises KubeconfigError.

    `allow_insecure` takes a cluster whose certificate isn't to be checked.
    """
    document = _load(text)
    chosen = context or document.get("current-context")
    if not isinstance(chosen, str) or not chosen:
        raise _invalid("it has no current-context, and no context is named")
    pair = _named(document, "contexts", "context", chosen)
    cluster = _named(document, "clusters", "cluster", pair.get("cluster"))
    user = _named(document, "users", "user", pair.get("user"))
    _refuse(cluster, _CLUSTER_REFUSED, "clusters[].cluster")
    _refuse(user, _USER_REFUSED, "users[].user")
    verify = _verify(cluster, allow_insecure=allow_insecure)
    certificate, key, token = _identity(user)
    return Credentials(
        server=_server(cluster),
        ca=_pem(cluster, "certificate-authority-data", "clusters[].cluster") if verify else None,
        certificate=certificate,
        key=key,
        token=token,
        server_name=_text(cluster, "tls-server-name", "clusters[].cluster"),
        verify=verify,
    )


def digest(text: bytes) -> str:
    """Return what tells one kubeconfig from another, and nothing else about it."""
    return hashlib.sha256(text).hexdigest()[:12]


def _load(text: str | bytes) -> Mapping[str, Any]:
    if len(text) > MAX_BYTES:
        raise _invalid(f"it is longer than {MAX_BYTES // 1024} KiB")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        raise _invalid("it is no YAML") from None  # the parser's words quote the content
    if not isinstance(document, dict):
        raise _invalid("it is no map with clusters, users and contexts")
    return document


def _named(document: Mapping[str, Any], section: str, inner: str, name: Any) -> Mapping[str, Any]:
    entries = document.get(section)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(inner), dict):
            found: dict[str, Any] = entry[inner]
            return found
    raise _invalid(f"{section} has no entry for the {inner} that the context names")


def _refuse(part: Mapping[str, Any], refused: Mapping[str, str], where: str) -> None:
    for field, why in refused.items():
        if part.get(field):
            raise KubeconfigError(TrafficReason.KUBECONFIG_REFUSED, f"the kubeconfig's {where}.{field} {why}")


def _verify(cluster: Mapping[str, Any], *, allow_insecure: bool) -> bool:
    insecure = bool(cluster.get("insecure-skip-tls-verify"))
    if insecure and not allow_insecure:
        raise KubeconfigError(
            TrafficReason.KUBECONFIG_REFUSED,
            "the kubeconfig's clusters[].cluster.insecure-skip-tls-verify turns the check of certificates off; where "
            "that is meant, set spec.insecureSkipTLSVerify of the MemberCluster",
        )
    return not insecure


def _server(cluster: Mapping[str, Any]) -> str:
    server = _text(cluster, "server", "clusters[].cluster")
    try:
        url = urlsplit(server or "")
        port = url.port
    except ValueError:
        raise _invalid("clusters[].cluster.server is no URL") from None
    if url.scheme != "https" or not url.hostname or port == 0:
        raise KubeconfigError(
            TrafficReason.KUBECONFIG_REFUSED, "the kubeconfig's clusters[].cluster.server must be an https:// URL"
        )
    if url.username or url.password or url.query or url.fragment:
        raise KubeconfigError(
            TrafficReason.KUBECONFIG_REFUSED,
            "the kubeconfig's clusters[].cluster.server may hold no user, password, query or fragment",
        )
    return url.geturl().rstrip("/")


def _identity(user: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    certificate = _pem(user, "client-certificate-data", "users[].user")
    key = _pem(user, "client-key-data", "users[].user")
    token = _text(user, "token", "users[].user")
    if (certificate is None) != (key is None):
        raise _invalid("users[].user has a client certificate without its key, or a key without its certificate")
    if key and "ENCRYPTED" in key:
        raise _invalid("users[].user.client-key-data is encrypted, and nobody could type its passphrase")
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise _invalid("users[].user.token is no token")
    if not token and not certificate:
        raise _invalid("users[].user has neither a token nor a client certificate")
    return certificate, key, token


def _text(part: Mapping[str, Any], field: str, where: str) -> str | None:
    value = part.get(field)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _invalid(f"{where}.{field} must be a text")
    return value.strip()


def _pem(part: Mapping[str, Any], field: str, where: str) -> str | None:
    text = _text(part, field, where)
    if text is None:
        return None
    try:
        decoded = base64.b64decode("".join(text.split()), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _invalid(f"{where}.{field} isn't base64 of a PEM text") from None
    if "-----BEGIN " not in decoded:
        raise _invalid(f"{where}.{field} isn't base64 of a PEM text")
    return decoded


def _invalid(message: str) -> KubeconfigError:
    return KubeconfigError(TrafficReason.KUBECONFIG_INVALID, f"the kubeconfig can't be used: {message}")
