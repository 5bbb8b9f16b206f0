"""Which custom resource has which release.

A release has the name of its resource. Where two kinds have objects of one name in one namespace, the first keeps the
plain name and the other's release gets its kind as a suffix; what is installed keeps its name for ever.
"""

from __future__ import annotations

from gateway_operator.names import RELEASE_NAME_LIMIT, short_name
from gateway_operator.releases.names import owner_value
from gateway_operator.releases.queue import Key
from gateway_operator.releases.records import ReleaseIndex, ReleaseKey


def owner_of(key: Key) -> str:
    """Return the owner label of a resource's release."""
    return owner_value(*key.row, key.name)


class Claims:
    """Release names in use by this process."""

    def __init__(self, index: ReleaseIndex) -> None:
        self._index = index
        self._by_release: dict[ReleaseKey, Key] = {}
        self._by_key: dict[Key, ReleaseKey] = {}

    def holder(self, release: ReleaseKey) -> Key | None:
        """Return the resource that has claimed a release."""
        return self._by_release.get(release)

    def held(self, key: Key) -> ReleaseKey | None:
        """Return the release that a resource has: recorded by Helm, or claimed a moment ago."""
        record = self._index.owned_by(key.namespace, owner_of(key))
        if record and self._by_release.setdefault(record.key, key) == key:  # after a restart only Helm knows
            self._by_key[key] = record.key
        return record.key if record else self._by_key.get(key)

    def claim(self, key: Key, wished: str) -> ReleaseKey:
        """Settle the release of a resource, `wished` if that is free."""
        release = self.held(key) or self._free(key, wished)
        if self._by_release.setdefault(release, key) == key:
            self._by_key[key] = release
        return release

    def _free(self, key: Key, wished: str) -> ReleaseKey:
        suffixed = short_name(f"{wished}-{key.row[1].lower()}", RELEASE_NAME_LIMIT)
        for candidate in (wished, suffixed):
            release = (key.namespace, candidate)
            newest = self._index.newest(release)
            taken = self._by_release.get(release, key) != key
            if not taken and (newest is None or newest.owner in {"", owner_of(key)}):
                return release
        return key.namespace, wished

    def drop(self, key: Key) -> ReleaseKey | None:
        """Give a claim up: the resource is gone."""
        release = self._by_key.pop(key, None)
        if release and self._by_release.get(release) == key:
            del self._by_release[release]
        return release
