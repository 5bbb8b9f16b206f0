"""A kubeconfig is data: what could run, read or redirect is refused, and no error repeats its content."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
import trustme
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.clusters.kubeconfig import MAX_BYTES, KubeconfigError, digest, parse
from gateway_operator.errors import ConfigError
from gateway_operator.kube import Api, Connection, Credentials

SECRET = "s3cr3t-t0ken"


def encoded(text: bytes | str) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


PEM = encoded("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
GOOD: dict[str, Any] = {
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    "clusters": [{"name": "k", "cluster": {"server": "https://10.0.0.1:6443", "certificate-authority-data": PEM}}],
    "users": [{"name": "u", "user": {"token": SECRET}}],
}


def text(**changes: Any) -> str:
    document = copy.deepcopy(GOOD)
    document["clusters"][0]["cluster"] |= changes.pop("cluster", {})
    document["users"][0]["user"] |= changes.pop("user", {})
    return yaml.safe_dump(document | changes)


def test_a_plain_one():
    """Server, authority and token; nothing secret in its repr."""
    found = parse(text())
    assert (found.server, found.token, found.verify) == ("https://10.0.0.1:6443", SECRET, True)
    assert found.ca.startswith("-----BEGIN")
    assert SECRET not in repr(found)


REFUSED = [
    {"user": {"exec": {"command": SECRET}}},
    {"user": {"auth-provider": {"name": SECRET}}},
    {"user": {"tokenFile": f"/{SECRET}"}},
    {"user": {"client-certificate": f"/{SECRET}"}},
    {"user": {"client-key": f"/{SECRET}"}},
    {"user": {"username": "a", "password": SECRET}},
    {"user": {"as": SECRET}},
    {"user": {"as-groups": [SECRET]}},
    {"cluster": {"certificate-authority": f"/{SECRET}"}},
    {"cluster": {"proxy-url": f"http://{SECRET}"}},
    {"cluster": {"insecure-skip-tls-verify": True}},
    {"cluster": {"server": f"http://{SECRET}"}},
    {"cluster": {"server": f"https://user:{SECRET}@10.0.0.1"}},
    {"cluster": {"server": f"https://10.0.0.1/?{SECRET}"}},
    {"cluster": {"server": ""}},
]


@pytest.mark.parametrize("changes", REFUSED, ids=lambda c: next(iter(next(iter(c.values())))))
def test_what_is_refused(changes):
    """The field is named, its content never."""
    with pytest.raises(KubeconfigError) as caught:
        parse(text(**changes))
    assert caught.value.reason == "KubeconfigRefused"
    assert SECRET not in str(caught.value)
    field = next(iter(next(iter(changes.values()))))
    assert field in str(caught.value)


INVALID = [
    "",
    "[]",
    f"{{ {SECRET}",
    f"a: &a [*a, {SECRET}",
    text(**{"current-context": None}),
    text(**{"current-context": SECRET}),
    text(contexts=SECRET),
    text(clusters=[]),
    text(users=[{"name": "u", "user": SECRET}]),
    text(user={"token": ""}),
    text(user={"token": f"{SECRET}\nX-Remote-User: admin"}),
    text(user={"token": [SECRET]}),
    text(user={"client-certificate-data": PEM}),
    text(user={"client-key-data": PEM}),
    text(user={"client-certificate-data": PEM, "client-key-data": encoded(f"-----BEGIN ENCRYPTED {SECRET}")}),
    text(cluster={"certificate-authority-data": f"%{SECRET}"}),
    text(cluster={"certificate-authority-data": encoded(SECRET)}),
    text(cluster={"server": "https://[x"}),
    SECRET * (MAX_BYTES // 4),
]


@pytest.mark.parametrize("broken", INVALID, ids=range(len(INVALID)))
def test_what_is_no_kubeconfig(broken):
    """Whatever is wrong, it is one class of error, without a word of the content."""
    with pytest.raises(KubeconfigError) as caught:
        parse(broken)
    assert caught.value.reason == "KubeconfigInvalid"
    assert SECRET not in str(caught.value)


@given(st.binary(max_size=300))
def test_no_bytes_break_it(data):
    """Garbage is refused, never a crash."""
    with pytest.raises(KubeconfigError):
        parse(data)


def test_the_check_of_certificates_can_be_given_up_on_purpose():
    """Only who says so gets it; the authority is then left out, for it would mean nothing."""
    found = parse(text(cluster={"insecure-skip-tls-verify": True}), allow_insecure=True)
    assert (found.verify, found.ca) == (False, None)


def test_another_context():
    """A context may be chosen by name."""
    contexts = [*GOOD["contexts"], {"name": "d", "context": {"cluster": "k", "user": "v"}}]
    users = [*GOOD["users"], {"name": "v", "user": {"token": "other"}}]
    assert parse(text(contexts=contexts, users=users), "d").token == "other"


def test_the_digest_tells_nothing():
    """It differs with the content, and is short."""
    assert digest(b"a") != digest(b"b")
    assert len(digest(b"a")) == 12


async def test_certificates_stay_in_memory(tmp_path, monkeypatch):
    """A client certificate needs no file on a disk; one that doesn't fit its key is an error without its text."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    authority = trustme.CA()
    one, other = authority.issue_cert("a.example.com"), authority.issue_cert("b.example.com")
    ca = authority.cert_pem.bytes().decode()

    def credentials(key: bytes) -> Credentials:
        chain = "".join(blob.bytes().decode() for blob in one.cert_chain_pems)
        return Credentials("https://10.0.0.1", ca, chain, key.decode())

    api = Api(Connection.of(credentials(one.private_key_pem.bytes())))
    await api.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError) as caught:
        Connection.of(credentials(other.private_key_pem.bytes()))
    assert "BEGIN" not in str(caught.value)
