"""Certificates of the dynamic renderer are data, by name, in the handshake."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
import trustme
from cryptography import x509

from gateway_operator.ingress.plan import Authority, Certificate
from gateway_operator.ingress.policies import ClientAuth
from tests.nginx.dynamic_harness import Nginx, route, server, settings, upstream
from tests.nginx.harness import FAKE, Backend

Backends = dict[str, Backend]


def certificate(name: str, authority: trustme.CA, identity: str) -> tuple[Certificate, bytes]:
    leaf = authority.issue_cert(name)
    pem = leaf.private_key_and_cert_chain_pem.bytes()
    shown = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    return Certificate(identity, pem), shown.fingerprint(shown.signature_hash_algorithm)  # type: ignore[arg-type]


def shown(nginx: Nginx, name: str) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    with (
        socket.create_connection(("127.0.0.1", nginx.machine.https_port)) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        found = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
        return found.fingerprint(found.signature_hash_algorithm)  # type: ignore[arg-type]


async def test_by_name(nginx: Nginx, backends: Backends, authority: trustme.CA) -> None:
    """Each host shows its own, other names the default; a new one is shown at once, with no reload."""
    one, one_is = certificate("x.test", authority, "00c1")
    wild, wild_is = certificate("*.x.test", authority, "00c2")
    new, new_is = certificate("x.test", authority, "00c3")
    backend = upstream("00ff", backends["a"])
    hosts = [server("*.x.test", route("/", "00ff"), certificate="00c2", tls=True)]
    first = server("x.test", route("/", "00ff"), certificate="00c1", tls=True)
    await nginx.serve(backend, first, *hosts, certificates=(one, wild))
    fake = x509.load_pem_x509_certificate(FAKE.certificate.pem)
    fake_is = fake.fingerprint(fake.signature_hash_algorithm)  # type: ignore[arg-type]
    assert [shown(nginx, name) for name in ("x.test", "w.x.test", "y.test")] == [one_is, wild_is, fake_is]
    second = server("x.test", route("/", "00ff"), certificate="00c3", tls=True)
    await nginx.serve(backend, second, *hosts, certificates=(new, wild))
    assert shown(nginx, "x.test") == new_is
    assert nginx.generations == 1
    answer = await nginx.get("x.test", tls=True)
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert (await answer.json())["headers"]["X-Forwarded-Proto"] == "https"


async def test_unknown_names_can_be_rejected(nginx: Nginx, backends: Backends) -> None:
    """`ssl-reject-handshake` ends the handshake for names that no host has."""
    await nginx.serve(
        upstream("00ff", backends["a"]),
        server("x.test", route("/", "00ff"), tls=True),
        settings=settings(ssl_reject_handshake="true"),
    )
    assert shown(nginx, "x.test")
    with pytest.raises(ssl.SSLError):
        shown(nginx, "y.test")


async def test_client_certificates(nginx: Nginx, backends: Backends, authority: trustme.CA) -> None:
    """Who isn't verified is refused, and nobody comes in under another name."""
    auth = ClientAuth("00ca", "on", 1, pass_certificate=True)
    roots = Authority("00ca", authority.cert_pem.bytes())
    await nginx.serve(
        upstream("00ff", backends["a"]),
        server("x.test", route("/", "00ff"), tls=True, client_auth=auth),
        server("opt.test", route("/", "00ff"), tls=True, client_auth=ClientAuth("00ca", "optional")),
        server(
            "page.test", route("/", "00ff"), tls=True, client_auth=ClientAuth("00ca", error_page="https://e.test/x")
        ),
        server("open.test", route("/", "00ff"), tls=True),
        authorities=(roots,),
    )
    good = _context(authority.issue_cert("client@x.test"))
    bad = _context(trustme.CA().issue_cert("client@x.test"))
    assert (await nginx.get("x.test", tls=True)).status == 400
    assert (await nginx.get("x.test", tls=True, ssl=bad)).status == 400
    answer = await nginx.get("x.test", tls=True, ssl=good)
    assert answer.status == 200
    headers = {key.lower(): value for key, value in (await answer.json())["headers"].items()}
    assert headers["ssl-client-verify"] == "SUCCESS"
    assert headers["ssl-client-cert"].startswith("-----BEGIN%20CERTIFICATE")
    assert (await nginx.get("x.test", tls=True, ssl=good, server_hostname="open.test")).status == 421
    assert (await nginx.get("x.test")).status == 400
    assert (await nginx.get("opt.test", tls=True)).status == 200
    assert (await nginx.get("opt.test", tls=True, ssl=bad)).status == 400
    page = await nginx.get("page.test", tls=True)
    assert (page.status, page.headers["Location"]) == (302, "https://e.test/x")


def _context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    leaf.configure_cert(context)
    return context


async def test_http2(nginx: Nginx, backends: Backends) -> None:
    """HTTP/2 is offered, unless the setting says no."""
    await nginx.serve(upstream("00ff", backends["a"]), server("x.test", route("/", "00ff"), tls=True))
    context: Any = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])

    with (
        socket.create_connection(("127.0.0.1", nginx.machine.https_port)) as raw,
        context.wrap_socket(raw, server_hostname="x.test") as tls,
    ):
        assert tls.selected_alpn_protocol() == "h2"
