"""Helm's records."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json

import pytest

from gateway_operator.releases import names
from gateway_operator.releases.records import (
    RecordError,
    ReleaseIndex,
    as_failed,
    chart_name,
    decode_payload,
    encode_payload,
    parse_record,
)


def secret(name="web", version=1, status="deployed", payload=None, **labels):
    """A release Secret as Helm writes it."""
    release = payload or {"name": name, "version": version, "info": {"status": status}, "manifest": "", "chart": {}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {
            "name": f"sh.helm.release.v1.{name}.v{version}",
            "namespace": "ns",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"owner": "helm", "name": name, "status": status, "version": str(version), **labels},
        },
        "data": {"release": encode_payload(release)},
    }


def test_metadata_is_enough_for_the_record():
    """No payload is decoded for state and digest."""
    record = parse_record(secret(**{names.DIGEST_LABEL: "d", names.HOLDER_LABEL: "h", names.OWNER_LABEL: "o"}))
    assert record is not None
    assert (record.key, record.version, record.status) == (("ns", "web"), 1, "deployed")
    assert (record.digest, record.holder, record.owner) == ("d", "h", "o")
    assert record.created == 1767225600.0


def test_other_secrets_are_no_records():
    """Somebody else may use the label owner=helm."""
    other = secret()
    other["metadata"]["name"] = "mine"
    assert parse_record(other) is None


def test_payload_goes_both_ways():
    """Twice base64 around gzip, as Helm does it."""
    release = {"name": "web", "chart": {"metadata": {"name": "demo"}}}
    decoded = decode_payload(secret(payload=release))
    assert decoded == release
    assert chart_name(decoded) == "demo"
    inner = base64.b64decode(base64.b64decode(encode_payload(release)))
    assert json.loads(gzip.decompress(inner)) == release


def test_old_uncompressed_payload_is_read():
    """Helm 2 left such."""
    raw = base64.b64encode(base64.b64encode(b'{"name":"x"}')).decode()
    assert decode_payload({**secret(), "data": {"release": raw}}) == {"name": "x"}


@pytest.mark.parametrize("data", [{}, {"release": "%%%"}, {"release": base64.b64encode(b"////").decode()}])
def test_broken_payload_is_an_error_with_the_secrets_name(data):
    """It is told, not thrown as some decoder's error."""
    with pytest.raises(RecordError, match=r"sh\.helm\.release"):
        decode_payload({**secret(), "data": data})


def test_as_failed_changes_label_and_payload_only():
    """So that Helm's own list and its next upgrade agree."""
    failed = as_failed(secret(status="pending-install", **{names.OWNER_LABEL: "o"}), "interrupted")
    assert failed["metadata"]["labels"]["status"] == "failed"
    assert failed["metadata"]["labels"][names.OWNER_LABEL] == "o"
    assert failed["metadata"]["resourceVersion"] == "1"
    assert decode_payload(failed)["info"] == {"status": "failed", "description": "interrupted"}


def test_index_knows_newest_deployed_and_owner():
    """A failed upgrade leaves the last good one deployed."""
    index = ReleaseIndex()
    index.on_event("ADDED", secret(version=9, **{names.OWNER_LABEL: "o"}))
    index.on_event("ADDED", secret(version=10, status="failed", **{names.OWNER_LABEL: "o"}))
    key = ("ns", "web")
    assert index.newest(key).version == 10
    assert index.deployed(key).version == 9
    assert index.owned_by("ns", "o").version == 10
    assert index.owned_by("ns", "other") is None
    index.on_event("DELETED", secret(version=10, status="failed", **{names.OWNER_LABEL: "o"}))
    index.on_event("DELETED", secret(version=9, **{names.OWNER_LABEL: "o"}))
    assert index.newest(key) is None
    assert index.owned_by("ns", "o") is None


async def test_waiting_for_what_was_just_written():
    """The watch is behind; the waiter sees it come."""
    index = ReleaseIndex()
    waiting = asyncio.create_task(index.wait_until(("ns", "web"), lambda r: r is not None, 60))
    await asyncio.sleep(0)
    index.on_event("ADDED", secret())
    assert await waiting is True
    assert await index.wait_until(("ns", "no"), lambda r: r is not None, 0.01) is False


def test_only_records_that_bear_their_own_number_are_ours():
    """Helm copies labels from revision to revision, for everybody."""
    index = ReleaseIndex()
    ours = {names.OWNER_LABEL: "o", names.HOLDER_LABEL: "h"}
    for version, labels in {
        1: {**ours, names.REVISION_LABEL: "1"},
        2: {**ours, names.REVISION_LABEL: "1"},  # somebody's upgrade
        3: {**ours, names.REVISION_LABEL: "3", names.INTENT_LABEL: "4.1"},
        4: {**ours, names.REVISION_LABEL: "1"},  # our rollback to 1, before it is labelled
        5: {**ours, names.REVISION_LABEL: "3", names.INTENT_LABEL: "4.1"},  # somebody's upgrade of 3
        6: {**ours, names.REVISION_LABEL: "3"},  # and another on top of that
        7: ours,  # from before there was a number
        8: {names.OWNER_LABEL: "o"},
    }.items():
        index.on_event("ADDED", secret(version=version, **labels))
    made = [r.version for r in index.all(("ns", "web")) if index.made_here(r)]
    assert made == [1, 3, 4, 7]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, 1767225600.0),
        ({"createdAt": "100"}, 100.0),
        ({"createdAt": "100", "modifiedAt": "200"}, 200.0),
        ({"modifiedAt": "x"}, 1767225600.0),
    ],
)
def test_time_of_helms_last_write(labels, expected):
    """From its own labels, else from the Secret."""
    record = parse_record(secret(**labels))
    assert record is not None
    assert record.modified == expected
