"""What the webhook says, how much it looks at for that, and its certificates' rotation, all without a server."""

from __future__ import annotations

import datetime as dt
import json
import ssl
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography import x509

from gateway_operator.ingress.admission.certificates import Keys, ServingPair, Times, make, step
from gateway_operator.ingress.admission.index import PathIndex, places
from gateway_operator.ingress.admission.judge import Judge, Verdict
from gateway_operator.ingress.admission.review import BadReview, answer, read_review
from gateway_operator.ingress.parse import IngressRules, parse_ingress
from tests.nginx.objects import ingress, rule

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
NAMES = ("gw-admission.ns.svc",)
TIMES = Times(life=dt.timedelta(days=90), settle=dt.timedelta(seconds=60))


def site(name: str, host: str = "a.test", path: str = "/", kind: str = "Prefix", **more: Any) -> dict[str, Any]:
    """An Ingress with one path."""
    return ingress(name, rule(host, (path, kind, "web")), **more)


def judge(*stored: dict[str, Any], ours: Any = lambda _obj: True) -> Judge:
    """A judge in a cluster that holds these Ingresses."""
    index = PathIndex()
    for obj in stored:
        index.take("ADDED", obj)
    return Judge(index, is_ours=ours, parse=parse_ingress)


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        (site("x", host="a_b.test"), "spec.rules[0].host: 'a_b.test' is no DNS name"),
        (site("x", path="/a;b"), "spec.rules[0].http.paths[0].path: '/a;b' is no path that can be served"),
        (site("x", path="/a\n}"), "is no path that can be served"),
        (site("x", annotations={"proxy-body-size": "8m;}"}), "proxy-body-size"),
        (site("x", annotations={"upstream-vhost": "a b"}), "upstream-vhost"),
        (site("x", annotations={"configuration-snippet": "return 200;"}), "snippet"),
        (site("x", annotations={"server-snippet": ""}), "snippet"),
    ],
)
def test_what_the_controller_would_leave_out_is_refused(obj, said):
    """The writer reads the field and the controller's own sentence."""
    verdict = judge().judge(obj)
    assert not verdict.allowed
    assert said in verdict.message


def test_unsupported_annotations_are_warnings():
    """The Ingress is served without them, so it may be written."""
    verdict = judge().judge(site("x", annotations={"enable-modsecurity": "true"}))
    assert verdict.allowed
    assert "enable-modsecurity" in " ".join(verdict.warnings)


@pytest.mark.parametrize(
    ("other", "allowed"),
    [
        ({}, False),
        ({"namespace": "elsewhere"}, False),
        ({"host": "b.test"}, True),
        ({"path": "/other"}, True),
        ({"kind": "Exact"}, True),  # an exact path stands beside a prefix
        ({"annotations": {"canary": "true", "canary-weight": "10"}}, True),
        ({"annotations": {"canary": "false"}}, False),
        ({"path": "/shop/"}, False),  # a prefix's last slash means nothing
        ({"path": "/sh%6Fp", "kind": "ImplementationSpecific"}, False),
    ],
)
def test_duplicates(other, allowed):
    """Two Ingresses can't serve one path of one host, unless one is the other's canary."""
    stored = site("old", path="/shop", annotations=other.pop("annotations", {}))
    new = site("new", **({"path": "/shop"} | other))
    verdict = judge(stored).judge(new)
    assert verdict.allowed is allowed, verdict
    if not allowed:
        assert "is served by Ingress apps/old" in verdict.message


def test_canaries():
    """A canary comes beside its main Ingress, and so does a second canary."""
    weight = {"canary": "true", "canary-weight": "10"}
    stored = [site("main"), site("first", annotations=weight)]
    assert judge(*stored).judge(site("second", annotations=weight)).allowed
    assert not judge(*stored).judge(site("other-main")).allowed


def test_only_what_a_write_adds_is_refused():
    """Labels, mends and deletions of an Ingress that is wrong already go through; new faults don't."""
    old = site("x", path="/a;b")
    rivals = judge(site("older", path="/c", created="2025-01-01T00:00:00Z"))
    assert rivals.judge(old | {"metadata": old["metadata"] | {"labels": {"a": "b"}}}, old).allowed
    assert rivals.judge(old | {"metadata": old["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}}).allowed
    mended = old | {"metadata": old["metadata"] | {"annotations": {"nginx.ingress.kubernetes.io/ssl-redirect": "true"}}}
    assert rivals.judge(mended, old).allowed
    worse = site("x", path="/c;d")
    assert not rivals.judge(worse, old).allowed
    taken = site("x", path="/c")
    assert not rivals.judge(taken, old).allowed
    assert rivals.judge(taken | {"metadata": {**taken["metadata"], "labels": {}}}, taken).allowed


def test_other_controllers_ingresses_are_not_judged():
    """Neither is a wrong one refused, nor does one of theirs stand in the way of ours."""
    theirs = site("theirs", annotations={"x": "theirs"})

    def ours(obj: Mapping[str, Any]) -> bool:
        return "theirs" not in obj["metadata"]["name"]

    assert judge(ours=ours).judge(site("theirs-too", path="/a;b")).allowed
    assert judge(theirs, ours=ours).judge(site("mine")).allowed


def test_a_review_looks_at_one_place_only():
    """With 1,000 Ingresses in the cluster a review parses the new one and those at its own place, nothing else."""
    parsed: list[str] = []

    def parse(obj: Mapping[str, Any]) -> IngressRules:
        parsed.append(obj["metadata"]["name"])
        return parse_ingress(obj)

    index = PathIndex()
    for number in range(1000):
        index.take("ADDED", site(f"site-{number}", host=f"h{number}.test"))
    with_rival = Judge(index, is_ours=lambda _obj: True, parse=parse)
    assert not with_rival.judge(site("new", host="h7.test")).allowed
    assert parsed == ["new", "site-7"]


def test_the_index_follows_changes():
    """An Ingress that moved or went leaves its place free."""
    index = PathIndex()
    obj = site("one", path="/a")
    index.take("ADDED", obj)
    moved = {**obj, "spec": site("one", path="/b")["spec"]}
    index.take("MODIFIED", moved, obj)
    assert index.rivals(site("two", path="/a")) == []
    assert index.rivals(site("two", path="/b")) == [moved]
    index.take("DELETED", moved)
    assert index.rivals(site("two", path="/b")) == []
    assert not index._places  # nothing is left behind


def test_places_of_odd_objects():
    """Rules without paths, without a host and without a path have their place, too."""
    assert list(places({"spec": {"rules": [{"host": "a"}, {"http": {"paths": [{}]}}]}})) == [("", "/")]
    assert list(places({"spec": None})) == []


def review(**request: Any) -> bytes:
    """A review as the API server sends it."""
    body = {"uid": "u1", "operation": "CREATE", "kind": KIND, "object": site("x")} | request
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": body}).encode()


KIND = {"group": "networking.k8s.io", "version": "v1", "kind": "Ingress"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "no AdmissionReview"),
        (b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}', "only admission.k8s.io/v1"),
        (b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}', "no request"),
        (review(uid=""), "no request"),
        (review(kind={"group": "", "version": "v1", "kind": "Pod"}), "only Ingresses"),
        (review(object=None), "no Ingress"),
        (review(object={"metadata": {}}), "no Ingress"),
        (review(object={"metadata": {"name": "x"}, "spec": []}), "no Ingress"),
        (review(oldObject=5), "no Ingress"),
    ],
)
def test_bad_requests_are_answered_in_words(body, said):
    """Each says what is wrong with it."""
    with pytest.raises(BadReview, match=said):
        read_review(body)


def test_reviews_and_answers():
    """Deletions hold nothing to judge; the uid comes back."""
    assert read_review(review()).new["metadata"]["name"] == "x"
    assert read_review(review(operation="DELETE", object=None)).new is None
    assert read_review(review(subResource="status")).new is None
    said = answer("u1", Verdict(allowed=False, message="no", warnings=("w",)))["response"]
    assert said == {
        "uid": "u1",
        "allowed": False,
        "status": {"code": 422, "reason": "Invalid", "message": "no"},
        "warnings": ["w"],
    }


def trusts(bundle: bytes, pair: ServingPair | None) -> bool:
    """Tell whether somebody who trusts a bundle trusts a certificate."""
    assert pair is not None
    leaf = x509.load_pem_x509_certificate(pair.certificate)
    return any(_issued(leaf, authority) for authority in x509.load_pem_x509_certificates(bundle))


def _issued(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    return leaf.issuer == authority.subject


def test_the_rotation_never_shows_what_is_not_trusted_yet():
    """First certificate, successor, both trusted, exchange, the old authority gone at its end: step by step."""
    first = step(Keys(), NAMES, NOW, trusted=b"", times=TIMES)
    assert trusts(first.authorities, first.current)
    assert first.next is None
    assert step(first, NAMES, NOW + dt.timedelta(days=59), trusted=first.authorities, times=TIMES) == first

    later = NOW + dt.timedelta(days=61)
    both = step(first, NAMES, later, trusted=first.authorities, times=TIMES)
    assert both.current == first.current
    assert both.next is not None
    assert trusts(both.authorities, both.current)
    assert trusts(both.authorities, both.next)

    soon = later + dt.timedelta(seconds=30)
    assert step(both, NAMES, soon, trusted=both.authorities, times=TIMES) == both  # API servers may not know yet
    settled = later + dt.timedelta(seconds=61)
    assert step(both, NAMES, settled, trusted=first.authorities, times=TIMES) == both  # nobody trusts it yet
    second = step(both, NAMES, settled, trusted=both.authorities, times=TIMES)
    assert (second.current, second.next) == (both.next, None)
    assert second.authorities == both.authorities

    after = step(second, NAMES, NOW + dt.timedelta(days=91), trusted=second.authorities, times=TIMES)
    assert len(x509.load_pem_x509_certificates(after.authorities)) == 1
    assert trusts(after.authorities, after.current)


@pytest.mark.parametrize(
    "broken",
    [
        Keys(),
        Keys(b"nonsense", ServingPair(b"nonsense", b"nonsense")),
        Keys(make(NAMES, NOW, TIMES.life)[0], make(NAMES, NOW, TIMES.life)[1]),  # signed by somebody else
        Keys(*make(("other.name",), NOW, TIMES.life)),
        Keys(*make(NAMES, NOW - dt.timedelta(days=91), TIMES.life)),  # ended
    ],
)
def test_what_cannot_be_served_is_made_anew(broken):
    """A Secret that is empty, broken, foreign, for another name or too old heals by itself."""
    healed = step(broken, NAMES, NOW, trusted=b"", times=TIMES)
    assert trusts(healed.authorities, healed.current)
    assert step(healed, NAMES, NOW, trusted=healed.authorities, times=TIMES) == healed


def test_certificates_satisfy_openssl(tmp_path):
    """A client that trusts the authority accepts the certificate for a name and for an address, and no other."""
    authority, pair = make(("gw.ns.svc", "127.0.0.1"), dt.datetime.now(dt.UTC), TIMES.life)
    (tmp_path / "pair.pem").write_bytes(pair.certificate + pair.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "pair.pem")
    client = ssl.create_default_context(cadata=authority.decode())
    for name in ("gw.ns.svc", "127.0.0.1"):
        assert _handshake(server, client, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(server, client, "other.svc")


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bool:
    """Run a TLS handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[str] = set()
    for _ in range(10):
        for side, conn in (("client", ours), ("server", theirs)):
            try:
                conn.do_handshake()
            except ssl.SSLWantReadError:
                continue
            done.add(side)
    return done == {"client", "server"}
