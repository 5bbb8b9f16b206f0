"""The stream that brings data to a running nginx: the same records on the wire and in the snapshot file.

`S <key> <length>` sets the value that follows, `D <key>` deletes, `V <from> <to> <digest>` commits. What others refer
to goes first (upstreams, certificates, then hosts), deletions last, so that nobody finds a name without its value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway_operator.ingress.memo import touched

FULL = "*"
BETWEEN = "-"  # the digest of a state on the way to another
CHUNK = 256 * 1024
_DIGEST_BITS = 256
_TAIL = 256


@dataclass(frozen=True)
class Change:
    """What leads from one data to another: entries to set, in order, and keys to delete."""

    sets: tuple[tuple[str, bytes], ...]
    deletes: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.sets or self.deletes)


def difference(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> Change:
    """Return what turns `old` into `new`; of two copies of one line only what was touched between them is looked at."""
    keys = touched(old, new)
    if keys is None:
        keys = old.keys() | new.keys()
    sets = [(key, new[key]) for key in keys if key in new and old.get(key) != new[key]]
    deletes = [key for key in keys if key in old and key not in new]
    return Change(tuple(sorted(sets, key=_order)), tuple(sorted(deletes)))


def whole(data: Mapping[str, bytes]) -> Change:
    """Return the change that sets everything."""
    return Change(tuple(sorted(data.items(), key=_order)), ())


def _order(entry: tuple[str, bytes]) -> tuple[int, str]:
    return {"u": 0, "c": 0, "h": 2}.get(entry[0].partition(":")[0], 1), entry[0]


def encode(change: Change) -> Iterator[bytes]:
    """Yield the records of a change, without the commit."""
    for key, value in change.sets:
        yield b"S %s %d\n%s\n" % (_word(key), len(value), value)
    for key in change.deletes:
        yield b"D %s\n" % _word(key)


def commit(start: int | str, version: int, digest: str) -> bytes:
    """Return the record that makes an update count; `start` is the version before it, or `*` for a full load."""
    return f"V {start} {version} {digest}\n".encode()


def chunks(records: Iterable[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """Join records up to a size; a larger record is a chunk of its own."""
    gathered: list[bytes] = []
    length = 0
    for record in records:
        if gathered and length + len(record) > size:
            yield b"".join(gathered)
            gathered, length = [], 0
        gathered.append(record)
        length += len(record)
    if gathered:
        yield b"".join(gathered)


def _word(key: str) -> bytes:
    """A key ends at the first space or line's end, so it may hold neither."""
    raw = key.encode()
    if not raw or any(byte <= 0x20 or byte == 0x7F for byte in raw):  # noqa: PLR2004
        raise ValueError(f"{key!r} can't be a key of nginx's data")
    return raw


class Digest:
    """A digest of a set of entries that follows a change without reading the rest: the sum of the entries' hashes."""

    def __init__(self, data: Mapping[str, bytes] | None = None) -> None:
        self._sum = sum(_hash(*entry) for entry in (data or {}).items()) % (1 << _DIGEST_BITS)

    def after(self, change: Change, old: Mapping[str, bytes]) -> Digest:
        """Return the digest of `old` (which this one is of) after a change."""
        found = Digest()
        gone = [*(key for key, _ in change.sets if key in old), *(key for key in change.deletes if key in old)]
        taken = sum(_hash(key, old[key]) for key in gone)
        found._sum = (self._sum + sum(_hash(*entry) for entry in change.sets) - taken) % (1 << _DIGEST_BITS)
        return found

    def __str__(self) -> str:
        return f"{self._sum:064x}"


def _hash(key: str, value: bytes) -> int:
    return int.from_bytes(hashlib.sha256(key.encode() + b"\0" + value).digest(), "big")


def snapshot_version(path: Path) -> int:
    """Return the version of a snapshot file; 0 when there is none or it isn't complete."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            line = file.read().rstrip(b"\n").rpartition(b"\n")[2].split()
    except OSError:
        return 0
    complete = len(line) == 4 and line[:2] == [b"V", b"*"] and line[2].isdigit()  # noqa: PLR2004
    return int(line[2]) if complete else 0


def snapshot_keys(path: Path) -> Iterator[str]:
    """Yield the keys of a snapshot file; none when there is no file, and fewer when it isn't complete."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        while (line := file.readline()).startswith(b"S "):
            _, key, length = line.split()
            yield key.decode(errors="replace")
            file.seek(int(length) + 1, 1)
