"""The pure parts of bringing data to nginx."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway_operator.ingress import pace
from gateway_operator.ingress.building import LEAST_MEMORY, MOST_MEMORY, memory_for, most_memory
from gateway_operator.ingress.delivery import write_snapshot
from gateway_operator.ingress.draining import Draining
from gateway_operator.ingress.pace import Pace
from gateway_operator.ingress.records import (
    Change,
    Digest,
    chunks,
    commit,
    difference,
    encode,
    snapshot_keys,
    snapshot_version,
    whole,
)

OLD = {"h:a": b"1", "u:x": b"2", "hc": b"[]", "c:gone": b"3"}
NEW = {"h:a": b"1", "u:x": b"new", "h:b": b"5", "u:y": b"", "c:z": b"7", "hc": b"[]"}


def test_a_change_is_ordered_so_that_names_have_values() -> None:
    """Backends and certificates come before hosts, deletions last."""
    change = difference(OLD, NEW)
    assert [key for key, _ in change.sets] == ["c:z", "u:x", "u:y", "h:b"]
    assert change.deletes == ("c:gone",)
    assert b"".join(encode(change)) == b"S c:z 1\n7\nS u:x 3\nnew\nS u:y 0\n\nS h:b 1\n5\nD c:gone\n"
    assert not difference(NEW, dict(NEW))


def test_a_digest_follows_changes() -> None:
    """Step by step it becomes the one that the whole gives; order doesn't matter, every byte does."""
    change = difference(OLD, NEW)
    assert str(Digest(OLD).after(change, OLD)) == str(Digest(NEW)) != str(Digest(OLD))
    assert str(Digest(dict(reversed(NEW.items())))) == str(Digest(NEW))
    assert str(Digest({"a": b"bc"})) != str(Digest({"ab": b"c"}))
    assert str(Digest()) == "0" * 64


def test_chunks_keep_records_whole() -> None:
    """Records are joined up to a size; one that is larger travels alone."""
    found = list(chunks([b"a" * 4, b"b" * 4, b"c" * 20, b"d"], 10))
    assert found == [b"a" * 4 + b"b" * 4, b"c" * 20, b"d"]


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "\x00", "a\x7f"])
def test_no_key_can_end_a_record(key: str) -> None:
    """A key with a space or a control character is refused before it is sent."""
    with pytest.raises(ValueError, match="can't be a key"):
        list(encode(Change(((key, b""),), ())))


def test_a_snapshot_counts_when_it_is_complete(tmp_path: Path) -> None:
    """Its last line has the version; a file that lacks it has none."""
    path = tmp_path / "data.snapshot"
    write_snapshot(path, NEW, 42, str(Digest(NEW)))
    assert path.stat().st_mode & 0o777 == 0o640
    assert snapshot_version(path) == 42
    assert set(snapshot_keys(path)) == set(NEW)
    assert path.read_bytes() == b"".join(encode(whole(NEW))) + commit("*", 42, str(Digest(NEW)))
    path.write_bytes(path.read_bytes()[:-10].rpartition(b"\n")[0] + b"\n")
    assert snapshot_version(path) == 0
    assert snapshot_version(tmp_path / "none") == 0
    assert [item.name for item in tmp_path.iterdir()] == ["data.snapshot"]


def test_a_snapshot_that_has_no_room_leaves_the_old_one(tmp_path: Path) -> None:
    """What can't be written is an error, and no part of it stays."""
    path = tmp_path / "data.snapshot"
    write_snapshot(path, NEW, 1, "aa")
    (tmp_path / ".data.snapshot.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_snapshot(path, OLD, 2, "bb")
    assert snapshot_version(path) == 1


def test_memory_grows_in_powers_of_two_and_has_an_end() -> None:
    """Small data takes the least; a pod's limit bounds what large data may take."""
    assert memory_for({}, 0) == memory_for({"a": b"x" * 1000}, 0) == LEAST_MEMORY
    large = {str(number): b"x" * (1 << 20) for number in range(10)}
    assert memory_for(large, 0) == 32 << 20
    assert memory_for(large, 64 << 20) == most_memory(64 << 20) == LEAST_MEMORY
    assert most_memory(0) == MOST_MEMORY
    assert most_memory(300 << 20) == 64 << 20


def test_draining_generations_are_counted_in_their_order() -> None:
    """What a reload told to end is one generation, whoever was told before stays where it was."""
    draining = Draining(2)
    draining.retire([101, 102])
    draining.retire([101, 102, 103])
    assert draining.living([101, 103, 104]) == [{101}, {103}]
    assert draining.enforce([101, 103]) == []
    assert draining.living([]) == []
    assert draining.ended == 0


def test_reloads_keep_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst waits for its end but not for ever, and the next reload for the last one and a random part."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    paced = Pace()
    assert paced.wait("one") == pytest.approx(pace.QUIET)
    now[0] += 0.09
    assert paced.wait("two") == pytest.approx(pace.QUIET)
    now[0] += 0.4
    assert 0 < paced.wait("three") < pace.QUIET
    now[0] += 0.1
    assert paced.wait("four") == 0
    paced.reloaded()
    assert pace.BETWEEN_RELOADS <= paced.wait("five") <= pace.BETWEEN_RELOADS + pace.JITTER
    assert paced.until_next() == paced.wait("five")
    now[0] += 5
    assert paced.wait("five") == 0


def test_replicas_reload_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas that saw the same changes at the same moments have their next reload at different ones."""
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    replicas = [Pace() for _ in range(20)]
    for paced in replicas:
        paced.reloaded()
    waits = {paced.wait("one") for paced in replicas}
    assert len(waits) == len(replicas)
    assert max(waits) - min(waits) > pace.JITTER / 3
