"""Secrets for access: what is taken, what is left out, and that errors tell nothing of their content."""

from __future__ import annotations

import pytest
import trustme

from gateway_operator.ingress.credentials import CredentialError, load_authority, load_client, load_passwords
from tests.unit.ingress.front import revocations, secret

GOOD_LINES = [
    b"ann:$apr1$abcdefgh$0123456789012345678901",
    b"bob:$2y$10$" + b"a" * 53,
    b"cat:$6$rounds=5000$saltsalt$" + b"b" * 86,
    b"dan:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=",
    b"eve:{PLAIN}secret",
    b"fay:rl0ijVZhUfVnE:a comment",
    b"gus:$y$j9T$abc$" + b"c" * 43,
]
BAD_LINES = [
    b"nobody",
    b"ann:",
    b":x",
    b"ann:plaintext",
    b"a b:rl0ijVZhUfVnE",
    b"ann:$9$x$y",
    b"ann:{MD5}x",
    b"a\x01:x",
]


def test_known_schemes_are_taken() -> None:
    """Every scheme that nginx's crypt knows; comments and blank lines are nothing."""
    found = load_passwords(secret("users", auth=b"# all\n\n" + b"\r\n".join(GOOD_LINES)), "auth-file")
    assert found.bad_lines == 0
    assert found.file.lines.count(b"\n") == len(GOOD_LINES)
    assert b"\r" not in found.file.lines


def test_bad_lines_are_counted_and_left_out() -> None:
    """One bad line doesn't lock the others out; nothing but bad lines is no list."""
    found = load_passwords(secret("users", auth=b"\n".join([*BAD_LINES, GOOD_LINES[0]])), "auth-file")
    assert (found.bad_lines, found.file.lines) == (len(BAD_LINES), GOOD_LINES[0] + b"\n")
    with pytest.raises(CredentialError) as error:
        load_passwords(secret("users", auth=b"\n".join(BAD_LINES)), "auth-file")
    assert "plaintext" not in str(error.value)


def test_maps_have_a_hash_for_each_user() -> None:
    """The order of users is always the same."""
    found = load_passwords(secret("users", bob=b"rl0ijVZhUfVnE", ann=b"rl0ijVZhUfVnE"), "auth-map")
    assert found.file.lines == b"ann:rl0ijVZhUfVnE\nbob:rl0ijVZhUfVnE\n"


@pytest.mark.parametrize(
    "files", [{}, {"auth": b""}, {"auth": b"\xff\xfe"}, {"other": b"ann:rl0ijVZhUfVnE"}, {"auth": b"x" * 2_000_000}]
)
def test_other_secrets_are_no_lists(files: dict[str, bytes]) -> None:
    """Missing, empty, too long and no text at all."""
    with pytest.raises(CredentialError):
        load_passwords(secret("users", **files), "auth-file")


def test_data_that_is_no_base64() -> None:
    """What the API server would never give is still no crash."""
    broken = secret("users") | {"data": {"auth": "%%%"}}
    with pytest.raises(CredentialError, match="base64"):
        load_passwords(broken, "auth-file")


def test_authorities_and_their_revocations() -> None:
    """Certificates first, lists behind them, written anew so that nothing else is in the file."""
    ca = trustme.CA().cert_pem.bytes()
    found = load_authority(secret("ca", ca__crt=b"comment\n" + ca + ca, ca__crl=revocations()))
    assert found.pem.count(b"BEGIN CERTIFICATE") == 2
    assert found.pem.endswith(b"-----END X509 CRL-----\n")
    assert b"comment" not in found.pem
    for files in ({}, {"ca__crt": b"x"}, {"ca__crt": ca, "ca__crl": b"x"}):
        with pytest.raises(CredentialError):
            load_authority(secret("ca", **files))


def test_pairs_and_authorities_for_backends() -> None:
    """Either is enough; neither is a fault."""
    authority = trustme.CA()
    pair = authority.issue_cert("client.test")
    files = {"tls__crt": pair.cert_chain_pems[0].bytes(), "tls__key": pair.private_key_pem.bytes()}
    assert load_client(secret("pair", **files))[0]
    assert load_client(secret("pair", ca__crt=authority.cert_pem.bytes()))[1]
    for wrong in ({}, {"tls__crt": files["tls__crt"]}, files | {"tls__key": b"x"}):
        with pytest.raises(CredentialError) as error:
            load_client(secret("pair", **wrong))
        assert "PRIVATE" not in str(error.value)
