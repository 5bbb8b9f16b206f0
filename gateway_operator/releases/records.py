"""What Helm recorded: the Secrets in which it keeps each revision of a release.

Name, status, version and our own labels are in the metadata, which one informer holds for the whole cluster; the
payload (chart, values and manifest, up to a megabyte) is fetched and decoded only when somebody needs it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import gzip
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway_operator.releases import names

SECRET_PREFIX = "sh.helm.release.v1."  # noqa: S105
PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})
_TIMES = ("modifiedAt", "createdAt")  # labels in which Helm notes seconds since the epoch

ReleaseKey = tuple[str, str]  # namespace and name of a release


class RecordError(ValueError):
    """A release Secret whose payload isn't Helm's."""


@dataclass(frozen=True)
class ReleaseRecord:
    """One revision of a release, from the metadata of its Secret."""

    namespace: str
    name: str
    version: int
    status: str
    secret: str
    digest: str = ""
    holder: str = ""
    owner: str = ""
    chart: str = ""
    created: float = 0.0  # seconds since the epoch
    modified: float = 0.0  # when Helm wrote it last
    revision: str = ""  # the number that our label gives
    rolled_back_to: str = ""
    intent: str = ""
    base: str = ""
    traffic: str = ""
    cause: str = ""

    @property
    def key(self) -> ReleaseKey:
        """Return what names the release."""
        return self.namespace, self.name


def secret_name(key: ReleaseKey, version: int) -> str:
    """Return the name of the Secret of a revision."""
    return f"{SECRET_PREFIX}{key[1]}.v{version}"


def parse_record(secret: dict[str, Any]) -> ReleaseRecord | None:
    """Read the metadata of a Secret; None where it is no release record."""
    meta = secret["metadata"]
    labels = meta.get("labels") or {}
    version = labels.get("version", "")
    if labels.get("owner") != "helm" or not meta["name"].startswith(SECRET_PREFIX) or not version.isdigit():
        return None
    return ReleaseRecord(
        namespace=meta.get("namespace", ""),
        name=labels.get("name", ""),
        version=int(version),
        status=labels.get("status", ""),
        secret=meta["name"],
        digest=labels.get(names.DIGEST_LABEL, ""),
        holder=labels.get(names.HOLDER_LABEL, ""),
        owner=labels.get(names.OWNER_LABEL, ""),
        chart=labels.get(names.CHART_LABEL, ""),
        created=(created := _epoch(meta.get("creationTimestamp"))),
        modified=next((float(labels[k]) for k in _TIMES if labels.get(k, "").isdigit()), created),
        revision=labels.get(names.REVISION_LABEL, ""),
        rolled_back_to=labels.get(names.ROLLED_BACK_LABEL, ""),
        intent=labels.get(names.INTENT_LABEL, ""),
        base=labels.get(names.BASE_LABEL, ""),
        traffic=labels.get(names.TRAFFIC_LABEL, ""),
        cause=labels.get(names.CAUSE_LABEL, ""),
    )


def _epoch(stamp: str | None) -> float:
    return datetime.fromisoformat(stamp).timestamp() if stamp else 0.0


def decode_payload(secret: dict[str, Any]) -> dict[str, Any]:
    """Return the release that a whole Secret holds. Raises RecordError."""
    try:
        inner = base64.b64decode(secret["data"]["release"], validate=True)
        raw = base64.b64decode(inner, validate=True)
        loaded = json.loads(gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw)
    except (KeyError, TypeError, binascii.Error, OSError, EOFError, ValueError) as error:
        raise RecordError(f"the Secret {secret['metadata']['name']} holds no release of Helm: {error}") from error
    if not isinstance(loaded, dict):
        raise RecordError(f"the Secret {secret['metadata']['name']} holds no release of Helm")
    return loaded


def encode_payload(release: dict[str, Any]) -> str:
    """Return what goes into `data.release` of a Secret."""
    packed = gzip.compress(json.dumps(release, separators=(",", ":")).encode(), mtime=0)
    return base64.b64encode(base64.b64encode(packed)).decode()


def as_failed(secret: dict[str, Any], why: str) -> dict[str, Any]:
    """Return the Secret of a revision marked failed, so that Helm accepts the next upgrade."""
    release = decode_payload(secret)
    release.setdefault("info", {}).update({"status": "failed", "description": why})
    meta = secret["metadata"]
    kept = {k: meta[k] for k in ("name", "namespace", "resourceVersion", "uid", "annotations") if k in meta}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**kept, "labels": {**(meta.get("labels") or {}), "status": "failed"}},
        "type": secret.get("type", "helm.sh/release.v1"),
        "data": {**secret["data"], "release": encode_payload(release)},
    }


def chart_name(release: dict[str, Any]) -> str:
    """Return the name of the chart inside a decoded release."""
    name = (release.get("chart") or {}).get("metadata", {}).get("name", "")
    return str(name)


def made_here(record: ReleaseRecord, before: ReleaseRecord | None) -> bool:
    """Tell whether an operator of ours made a revision; `before` is the one before it."""
    if record.revision == str(record.version) or (record.holder and not record.revision):
        return True
    return before is not None and before.intent.startswith(f"{record.version}.")


class ReleaseIndex:
    """All records by release; fed by an informer, asked by the reconciler."""

    def __init__(self, on_change: Callable[[ReleaseKey], None] | None = None) -> None:
        self._records: dict[ReleaseKey, dict[int, ReleaseRecord]] = defaultdict(dict)
        self._waiters: dict[ReleaseKey, set[asyncio.Event]] = defaultdict(set)
        self._owned: dict[tuple[str, str], set[ReleaseKey]] = defaultdict(set)
        self._on_change = on_change

    def on_event(self, type_: str, secret: dict[str, Any], _previous: dict[str, Any] | None = None) -> None:
        """Take in an informer's event."""
        record = parse_record(secret)
        if record is None:
            return
        if type_ == "DELETED":
            self._records[record.key].pop(record.version, None)
            if not self._records[record.key]:
                del self._records[record.key]
                self._owned[record.namespace, record.owner].discard(record.key)
        else:
            self._records[record.key][record.version] = record
            if record.owner:
                self._owned[record.namespace, record.owner].add(record.key)
        for event in self._waiters.get(record.key, ()):
            event.set()
        if self._on_change:
            self._on_change(record.key)

    def newest(self, key: ReleaseKey) -> ReleaseRecord | None:
        """Return the record with the highest revision."""
        records = self._records.get(key)
        return records[max(records)] if records else None

    def deployed(self, key: ReleaseKey) -> ReleaseRecord | None:
        """Return the newest record that Helm calls deployed."""
        found = [r for r in self._records.get(key, {}).values() if r.status == "deployed"]
        return max(found, key=lambda r: r.version, default=None)

    def all(self, key: ReleaseKey) -> list[ReleaseRecord]:
        """Return every record of a release, oldest first."""
        return [record for _, record in sorted(self._records.get(key, {}).items())]

    def find(self, key: ReleaseKey, version: int) -> ReleaseRecord | None:
        """Return one revision."""
        return self._records.get(key, {}).get(version)

    def made_here(self, record: ReleaseRecord) -> bool:
        """Tell whether this operator, in whichever process, made a revision: Helm copies labels for everybody."""
        return made_here(record, self.find(record.key, record.version - 1))

    def owned_by(self, namespace: str, owner: str) -> ReleaseRecord | None:
        """Return the newest record in `namespace` that carries this owner label."""
        found = [self.newest(key) for key in self._owned.get((namespace, owner), ())]
        live = [r for r in found if r is not None and r.owner == owner and r.status != "uninstalled"]
        return max(live, key=lambda r: (r.created, r.version), default=None)

    async def wait_until(self, key: ReleaseKey, seen: Callable[[ReleaseRecord | None], bool], timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until the newest record satisfies `seen`: a watch is always a little behind what we just did."""
        event = asyncio.Event()
        self._waiters[key].add(event)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while not seen(self.newest(key)):
                        event.clear()
                        await event.wait()
            return seen(self.newest(key))
        finally:
            self._waiters[key].discard(event)
            if not self._waiters[key]:
                del self._waiters[key]
