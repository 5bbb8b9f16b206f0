"""Keeps what each release should be, decoded once per revision from Helm's record."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway_operator.errors import KindNotServed, NotFound
from gateway_operator.kube import Api
from gateway_operator.releases.objects import Manifest, build_manifest, parse_manifest
from gateway_operator.releases.records import SECRET_PREFIX, ReleaseKey, ReleaseRecord, decode_payload


class Manifests:
    """A cache over the payloads of release Secrets."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._cache: dict[ReleaseKey, Manifest] = {}

    async def payload(self, key: ReleaseKey, version: int) -> dict[str, Any]:
        """Fetch and decode one revision. Raises NotFound, RecordError."""
        secrets = await self._api.resource("v1", "Secret")
        secret = await self._api.get(secrets, f"{SECRET_PREFIX}{key[1]}.v{version}", key[0])
        return await asyncio.to_thread(decode_payload, secret)

    async def get(self, record: ReleaseRecord) -> Manifest | None:
        """Return the manifest of a revision; None when its Secret is gone. Raises RecordError."""
        cached = self._cache.get(record.key)
        if cached and cached.version == record.version and cached.digest == record.digest:
            return cached
        try:
            release = await self.payload(record.key, record.version)
        except NotFound:
            return None
        meta = (release.get("chart") or {}).get("metadata") or {}
        chart = f"{meta.get('name', '')}-{meta.get('version', '')}"
        manifest = await self.build(release.get("manifest", ""), record.key, record.version, chart, record.digest)
        self._cache[record.key] = manifest
        return manifest

    async def build(self, text: str, release: ReleaseKey, version: int, chart: str, digest: str) -> Manifest:
        """Complete a rendered manifest to what the cluster gets. Raises ApiError."""
        objects = await asyncio.to_thread(parse_manifest, text)
        settled = [await self._settle(o, release[0]) for o in objects]
        return build_manifest(settled, version=version, chart=chart, digest=digest, release=release)

    async def _settle(self, obj: dict[str, Any], namespace: str) -> dict[str, Any]:
        """Give namespaced objects the namespace that Helm gives them, and take it from others."""
        try:
            resource = await self._api.resource(obj["apiVersion"], obj["kind"])
            namespaced = resource.namespaced
        except KindNotServed:
            namespaced = bool(obj["metadata"].get("namespace"))
        meta = {k: v for k, v in obj["metadata"].items() if k != "namespace"}
        if namespaced:
            meta["namespace"] = obj["metadata"].get("namespace") or namespace
        return {**obj, "metadata": meta}

    def cached(self, key: ReleaseKey) -> Manifest | None:
        """Return what is known without asking anybody."""
        return self._cache.get(key)

    def forget(self, key: ReleaseKey) -> None:
        """Drop a release that is gone."""
        self._cache.pop(key, None)
