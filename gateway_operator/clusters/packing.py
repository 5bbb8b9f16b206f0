"""Keeps objects of the centre packed: there are thousands, and few are ever looked at again.

As dicts, the policies and mirrors of twenty members would be most of the process's memory.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.clusters.mirror import Want, service_of, slice_object, strip
from gateway_operator.clusters.policies import Port, Service
from gateway_operator.kube.informer import key_of

Object = dict[str, Any]
Key = tuple[str, str]
_READ = ("name", "namespace", "uid", "generation", "creationTimestamp")  # of a policy's metadata


@dataclass(frozen=True, slots=True)
class PackedSlice:
    """A mirror slice; `service` is the key of the Service that it belongs to."""

    key: Key
    version: str
    service: Key
    content: bytes

    def unpack(self) -> Object:
        """Return the object."""
        return _unpack(self.content)


@dataclass(frozen=True, slots=True)
class PackedPolicy:
    """A ClusterTrafficPolicy; `leaves` says that it is being deleted. Its status changes often, and alone."""

    key: Key
    version: str
    leaves: bool
    asked: bytes
    status: bytes

    def unpack(self) -> Object:
        """Return the object."""
        return _unpack(self.asked) | {"status": _unpack(self.status)}


def pack_slice(obj: Object) -> PackedSlice:
    """Pack a live mirror slice."""
    return PackedSlice(key_of(obj), _version(obj), service_of(obj), _pack(strip(obj)))


def pack_policy(obj: Object) -> PackedPolicy:
    """Pack a live policy."""
    meta = obj["metadata"]
    asked = {"metadata": {key: meta[key] for key in _READ if key in meta}, "spec": obj.get("spec")}
    leaves = bool(meta.get("deletionTimestamp"))
    return PackedPolicy(key_of(obj), _version(obj), leaves, _pack(asked), _pack(obj.get("status") or {}))


def _pack(obj: Object) -> bytes:
    packer = zlib.compressobj(level=1, zdict=_WORDS)
    return packer.compress(json.dumps(obj).encode()) + packer.flush()


def _unpack(content: bytes) -> Object:
    loaded: Object = json.loads(zlib.decompressobj(zdict=_WORDS).decompress(content))
    return loaded


def _version(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("resourceVersion"))


def _words() -> bytes:
    """Return what all slices have in common, so that packing one leaves little of it."""
    want = Want("", "", "", "", Service("", "", Port()), "", 0, ())
    return json.dumps(strip(slice_object(want, "", ("IPv4", 0), ("10.0.0.1",), 1))).encode()


_WORDS = _words()
