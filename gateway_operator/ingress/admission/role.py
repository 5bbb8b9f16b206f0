"""The webhook put together inside the ingress role, whose copies of the cluster's objects it shares.

A process of its own would need the same rights and the same memory a second time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway_operator.errors import ConfigError
from gateway_operator.ingress.admission.index import PathIndex
from gateway_operator.ingress.admission.judge import Judge, Verdict
from gateway_operator.ingress.admission.keeper import Keeper
from gateway_operator.ingress.admission.metrics import AdmissionMetrics
from gateway_operator.ingress.admission.server import AdmissionServer, Checked
from gateway_operator.ingress.admission.serving import ServingContext, follow_files, follow_secret
from gateway_operator.ingress.classes import is_ours
from gateway_operator.ingress.metrics import Metrics
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.parse import ParseRules, parse_ingress
from gateway_operator.ingress.sources import Sources
from gateway_operator.kube import Api
from gateway_operator.telemetry import get_logger

log = get_logger(__name__)

TRY_AGAIN = 5.0
LONGEST_HOLD = 15.0  # seconds for which a webhook that can't listen yet keeps its gateway from traffic


class Admission:
    """The webhook of one gateway; off unless `--validating-webhook` says where to listen."""

    def __init__(
        self,
        api: Api,
        options: IngressOptions,
        sources: Sources,
        metrics: Metrics,
        *,
        parse_rules: Callable[[], ParseRules],
    ) -> None:
        self._api = api
        self._options = options
        self._sources = sources
        self._parse_rules = parse_rules
        self._index = PathIndex()
        self._began = time.monotonic()
        self._host, self._port = _address(options.validating_webhook)
        files = options.validating_webhook_certificate and options.validating_webhook_key
        if not files and not (options.validating_webhook_secret and options.validating_webhook_configuration):
            raise ConfigError(
                "--validating-webhook needs --validating-webhook-certificate and --validating-webhook-key, or "
                "--validating-webhook-secret and --validating-webhook-configuration"
            )
        labels = {
            "controller_class": options.controller_class,
            "controller_namespace": options.pod_namespace,
            "controller_pod": options.pod_name,
        }
        observe = AdmissionMetrics(metrics.registry, labels).observe
        self._server = AdmissionServer(self._judge, observe, checked=counting(metrics))
        sources.on_ingress = self._index.take

    @property
    def _makes_certificates(self) -> bool:
        return not self._options.validating_webhook_certificate

    @property
    def _secret(self) -> tuple[str, str]:
        return self._options.pod_namespace, self._options.validating_webhook_secret

    async def run(self) -> None:
        """Listen until cancelled, from complete copies of the objects on; a port in use is tried again."""
        serving = ServingContext()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(serving))
            await self._sources.synced()
            while True:
                try:
                    await self._server.listen(self._host, self._port, serving)
                except OSError as error:
                    log.warning("the webhook's port can't be opened", port=self._port, error=error.strerror)
                await asyncio.sleep(TRY_AGAIN)

    async def lead(self) -> None:
        """Keep the certificates until cancelled; one replica does it."""
        if self._makes_certificates:
            await Keeper(self._api, self._secret, self._options.validating_webhook_configuration).run()
        await asyncio.Event().wait()

    def why_not_ready(self) -> str:
        """Return why the Service shouldn't lead here yet; only for a while, since traffic matters more."""
        waits = not self._server.listening.is_set() and time.monotonic() - self._began < LONGEST_HOLD
        return "the webhook doesn't listen yet" if waits else ""

    async def _follow(self, serving: ServingContext) -> None:
        if self._makes_certificates:
            await follow_secret(self._api, self._secret, serving)
        options = self._options
        await follow_files(Path(options.validating_webhook_certificate), Path(options.validating_webhook_key), serving)

    def _judge(self) -> Judge:
        classes, rules = self._sources.classes, self._parse_rules()

        def ours(obj: Mapping[str, Any]) -> bool:
            watched = self._options.watch_namespace
            return watched in {"", obj["metadata"].get("namespace")} and is_ours(obj, classes, self._options)

        return Judge(self._index, is_ours=ours, parse=lambda obj: parse_ingress(obj, rules))


def counting(metrics: Metrics) -> Checked:
    """Return what counts a checked Ingress by its name."""

    def checked(obj: Mapping[str, Any], verdict: Verdict) -> None:
        meta = obj["metadata"]
        metrics.checks.count(str(meta.get("namespace", "")), meta["name"], ok=verdict.allowed)

    return checked


def _address(text: str) -> tuple[str | None, int]:
    """Read `:8443` or `host:8443`. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"--validating-webhook must be :port or address:port, not {text!r}")
    return host.strip("[]") or None, int(port)
