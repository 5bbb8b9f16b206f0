"""Carries the rotation out: the leader keeps the Secret of all replicas and the bundle that API servers trust.

It may read and patch that one Secret and that one configuration, and make neither: a right to create Secrets would be
a right to tokens of every ServiceAccount in the namespace.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import datetime as dt
import urllib.parse
from collections.abc import Mapping
from typing import Any

from gateway_operator.errors import ApiError, Conflict
from gateway_operator.ingress.admission.certificates import Keys, ServingPair, Times, step
from gateway_operator.ingress.sources import SECRETS
from gateway_operator.kube import Api, Resource
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

CONFIGURATIONS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)
LOOK_EVERY = 15.0
MANAGER = "gateway-ingress-webhook"  # a name by which the operator sees that it isn't a person


class Keeper:
    """Looks at both objects now and then. `secret` is (namespace, name), `configuration` a name."""

    def __init__(
        self,
        api: Api,
        secret: tuple[str, str],
        configuration: str,
        times: Times | None = None,
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._api = api
        self._secret = secret
        self._configuration = configuration
        self._times = times or Times()
        self._look_every = look_every
        self._error = ""

    async def run(self) -> None:
        """Keep both until cancelled; what goes wrong is logged once and tried again."""
        while True:
            try:
                await self.look()
            except Conflict:
                pass  # somebody wrote it at the same time: the next look sees what is there now
            except ApiError as error:
                if str(error) != self._error:
                    log.warning("the webhook's certificate can't be kept", error=str(error))
                self._error = str(error)
            else:
                self._error = ""
            await asyncio.sleep(self._look_every)

    async def look(self) -> None:
        """Bring the Secret and then the bundle to what they should be now. Raises ApiError."""
        configuration = await self._api.get(CONFIGURATIONS, self._configuration)
        namespace, name = self._secret
        secret = await self._api.get(SECRETS, name, namespace)
        known, trusted = read_keys(secret), _bundle(configuration)
        keys = step(known, _names(configuration), dt.datetime.now(dt.UTC), trusted=trusted, times=self._times)
        if keys != known:
            version = {"metadata": {"resourceVersion": secret["metadata"]["resourceVersion"]}}
            await self._api.merge_patch(
                SECRETS, name, {**version, "data": _data(keys)}, namespace, field_manager=MANAGER
            )
            log.info("the webhook's certificates changed", secret=name, exchanged=keys.current != known.current)
        if keys.authorities != trusted:
            await self._trust(configuration, keys.authorities)

    async def _trust(self, configuration: Mapping[str, Any], authorities: bytes) -> None:
        text = base64.b64encode(authorities).decode()
        ops: list[dict[str, Any]] = [
            {
                "op": "test",
                "path": "/metadata/resourceVersion",
                "value": configuration["metadata"]["resourceVersion"],
            }
        ]
        for number, _ in enumerate(configuration.get("webhooks") or ()):
            ops.append({"op": "add", "path": f"/webhooks/{number}/clientConfig/caBundle", "value": text})
        await self._api.json_patch(CONFIGURATIONS, self._configuration, ops, field_manager=MANAGER)


def read_keys(secret: Mapping[str, Any]) -> Keys:
    """Read a Secret; what is missing or no base64 counts as absent."""
    data = {name: _decoded(text) for name, text in (secret.get("data") or {}).items()}

    def pair(name: str) -> ServingPair | None:
        certificate, key = data.get(f"{name}.crt"), data.get(f"{name}.key")
        return ServingPair(certificate, key) if certificate and key else None

    return Keys(data.get("ca.crt", b""), pair("tls"), pair("next"))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _data(keys: Keys) -> dict[str, str | None]:
    found: dict[str, bytes | None] = {"ca.crt": keys.authorities}
    for name, pair in (("tls", keys.current), ("next", keys.next)):
        found[f"{name}.crt"] = pair.certificate if pair else None
        found[f"{name}.key"] = pair.key if pair else None
    return {name: None if value is None else base64.b64encode(value).decode() for name, value in found.items()}


def _bundle(configuration: Mapping[str, Any]) -> bytes:
    """Return what is trusted by every webhook of a configuration; empty when they differ."""
    found = {(item.get("clientConfig") or {}).get("caBundle") or "" for item in configuration.get("webhooks") or ()}
    return _decoded(found.pop()) if len(found) == 1 else b""


def _names(configuration: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names under which API servers call, by what the configuration says."""
    names: set[str] = set()
    for item in configuration.get("webhooks") or ():
        client = item.get("clientConfig") or {}
        if service := client.get("service"):
            names.add(f"{service['name']}.{service['namespace']}.svc")
        elif host := urllib.parse.urlsplit(client.get("url") or "").hostname:
            names.add(host)
    return tuple(sorted(names)) or ("localhost",)
