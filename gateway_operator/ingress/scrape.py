"""Asks nginx, its supervisor and its data socket for a scrape's numbers, all at once and never for long."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from gateway_operator.ingress.data_socket import DataError, DataStatus
from gateway_operator.ingress.delivery import Delivery
from gateway_operator.ingress.metrics import NginxNumbers, parse_stub_status
from gateway_operator.ingress.supervised import GenerationRefused, NginxStatus, Supervised, SupervisorAway

PAGE_WITHIN = 5.0


class Scrape:
    """Knows where to ask."""

    def __init__(self, status_port: int, supervised: Supervised, delivery: Delivery) -> None:
        self._base = f"http://127.0.0.1:{status_port}"
        self._supervised = supervised
        self._delivery = delivery

    async def numbers(self) -> NginxNumbers:
        """Ask everybody; who doesn't answer has no numbers."""
        status, page, supervisor, data = await asyncio.gather(
            self._get("/nginx_status"), self._get("/metrics-data"), self._supervisor(), self._data()
        )
        found = await asyncio.to_thread(_parsed, page)
        return NginxNumbers(parse_stub_status(status.decode(errors="replace")), found, supervisor, data)

    async def _get(self, path: str) -> bytes:
        timeout = aiohttp.ClientTimeout(total=PAGE_WITHIN)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self._base + path) as answer:
                return await answer.read() if answer.status == 200 else b""  # noqa: PLR2004
        except (aiohttp.ClientError, TimeoutError):
            return b""

    async def _supervisor(self) -> NginxStatus | None:
        try:
            async with asyncio.timeout(PAGE_WITHIN):
                return await self._supervised.status()
        except (SupervisorAway, GenerationRefused, TimeoutError):
            return None

    async def _data(self) -> DataStatus | None:
        try:
            return await self._delivery.status() if self._delivery.reachable else None
        except DataError:
            return None


def _parsed(page: bytes) -> dict[str, Any]:
    try:
        found = json.loads(page)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
