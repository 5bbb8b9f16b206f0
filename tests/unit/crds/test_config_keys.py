"""The ConfigMap's keys: what is read, what is refused, what is only remarked on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.crds.config_keys import DEFAULTS, KEYS, SNIPPET_KEYS, parse_config


def problem(key: str, value: str):
    """Return the only problem of one key, or None."""
    found = parse_config({key: value})[1]
    assert len(found) <= 1
    return found[0] if found else None


def test_nothing_gives_the_defaults():
    """Without data every key has its default and nothing is wrong."""
    assert parse_config({}) == (dict(DEFAULTS), [])


def test_every_default_is_a_value_that_the_key_takes():
    """A default that is written out reads back as itself."""
    for key in KEYS.values():
        if key.default in (None, "", ()):
            continue
        text = str(key.default).lower() if isinstance(key.default, bool) else key.default
        if isinstance(text, tuple):
            text = (" " if key.name.endswith("-types") else ",").join(map(str, text))
        values, problems = parse_config({key.name: str(text)})
        assert values[key.name] == key.default, key.name
        assert not [p for p in problems if p.fatal], key.name


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("use-gzip", "True", True),
        ("keep-alive", "75", "75s"),
        ("proxy-read-timeout", "1h 30m", "1h30m"),
        ("proxy-read-timeout", "500ms", "500ms"),
        ("proxy-body-size", "8M", "8m"),
        ("proxy-body-size", "0", "0"),
        ("custom-http-errors", "404, 503", (404, 503)),
        ("proxy-real-ip-cidr", "10.1.2.3/8, fd00::/8", ("10.0.0.0/8", "fd00::/8")),
        ("ssl-protocols", "TLSv1.3", "TLSv1.3"),
        ("large-client-header-buffers", "4  16K", "4 16k"),
        ("log-format-upstream", '{"host": "$host", "id": "${req_id}"}\n', '{"host": "$host", "id": "${req_id}"}'),
        ("http-redirect-code", "301", 301),
        ("worker-processes", "4", "4"),
        ("bind-address", "10.0.0.1, 10.0.0.1,fd00::1", ("10.0.0.1", "fd00::1")),
        ("status-excluded-namespaces", "a,b", ("a", "b")),
        ("ssl-ciphers", "ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=1", "ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=1"),
    ],
)
def test_good_values_are_normalised(key, text, value):
    """A good value comes back typed, in one form."""
    values, problems = parse_config({key: text})
    assert values[key] == value
    assert not [p for p in problems if p.fatal]


@pytest.mark.parametrize(
    ("key", "text", "allowed"),
    [
        ("use-gzip", "yes", '"true" or "false"'),
        ("keep-alive", "-1", "a time such as"),
        ("keep-alive", "10m5h", "largest first"),
        ("keep-alive", "400d", "365 days"),
        ("proxy-body-size", "8mb", "a size such as"),
        ("proxy-buffer-size", "1g", "a size such as"),
        ("proxy-buffer-size", "16", "a size from 1k"),
        ("proxy-buffers-number", "2", "from 3 to 1024"),
        ("custom-http-errors", "404,499", "without 499"),
        ("proxy-real-ip-cidr", "10.0.0.0/33", "IP addresses or networks"),
        ("proxy-next-upstream", "error;timeout", "one or more of"),
        ("ssl-protocols", "TLSv1.4", "one or more of"),
        ("ssl-ciphers", "NOSUCHCIPHER", "at least one cipher"),
        ("log-format-upstream", "$nosuchvariable", "$nosuchvariable"),
        ("log-format-upstream", "a $ b", "after each $"),
        ("log-format-upstream", "a\nb", "control characters"),
        ("error-log-level", "loud", "one of debug"),
        ("ssl-ecdh-curve", "auto:X25519", "auto, or some of"),
        ("ssl-ecdh-curve", "P-256:prime256v1", "each once"),
        ("ssl-ecdh-curve", "brainpoolP256r1", "auto, or some of"),
        ("global-auth-response-headers", ",".join(f"X-{n}" for n in range(101)), "more than 100"),
        ("forwarded-for-header", "X-A; return 200", "a header name"),
        ("proxy-read-timeout", "60s;", "a time such as"),
        ("skip-access-log-urls", "/a,b}", "URL paths"),
        ("access-log-path", "/etc/passwd", "/dev/stdout"),
        ("worker-processes", "0", "from 1 to 512"),
        ("log-format-upstream", "x" * 9000, "8192 characters"),
    ],
)
def test_bad_values_are_refused_and_leave_the_default(key, text, allowed):
    """A value that nginx would refuse is fatal, names its key and says what is allowed."""
    values, problems = parse_config({key: text})
    assert values[key] == DEFAULTS[key]
    assert [p.fatal for p in problems] == [True]
    assert problems[0].message.startswith(f"{key}: ")
    assert allowed in problems[0].message


def test_unknown_keys_only_get_a_remark():
    """Seed 002's `max-bucket` is kept and warned of."""
    found = problem("max-bucket", "1m")
    assert found is not None
    assert not found.fatal


@pytest.mark.parametrize("key", sorted(SNIPPET_KEYS))
def test_snippets_are_never_offered(key):
    """A snippet refuses, since dropping it in silence may open what it closed; an empty one is nothing."""
    found = problem(key, "deny all;")
    assert found is not None
    assert found.fatal
    assert problem(key, "") is None


def test_known_keys_without_effect_are_remarked_on_unless_they_say_the_default():
    """A key that our controller doesn't honour yet is told, but only where it would change something."""
    found = problem("enable-brotli", "true")
    assert found is not None
    assert not found.fatal
    assert problem("enable-brotli", "false") is None
    snippets = problem("allow-snippet-annotations", "true")
    assert snippets is not None
    assert not snippets.fatal


def test_honoured_keys_are_those_that_the_controller_reads():
    """The table tells users no more and no less than what the ingress controller does."""
    import dataclasses

    from gateway_operator.ingress.plan import Settings

    read = {item.name.replace("_", "-") for item in dataclasses.fields(Settings)} | {
        "ssl-redirect",
        "force-ssl-redirect",
        "no-tls-redirect-locations",
        "strict-validate-path-type",
        "status-excluded-namespaces",
        "annotations-risk-level",
        "annotation-value-word-blocklist",
        "custom-http-errors",
        "disable-proxy-intercept-errors",
        "load-balance",
        "retry-non-idempotent",
        "whitelist-source-range",
        "denylist-source-range",
        "global-auth-url",
        "global-auth-method",
        "global-auth-signin",
        "global-auth-signin-redirect-param",
        "global-auth-response-headers",
        "global-auth-request-redirect",
        "global-auth-always-set-cookie",
        "no-auth-locations",
        "global-allowed-response-headers",
        "upstream-max-fails",
        "upstream-fail-timeout",
        "enable-serial-reloads",  # reloads always come one after the other
    }
    assert {key.name for key in KEYS.values() if key.honoured} == read


@given(st.sampled_from(sorted(KEYS)), st.text(max_size=60))
def test_no_text_can_end_a_directive(key, text):
    """Whatever a user writes, what comes out holds no control character, and no `;` outside quoted texts."""
    value = parse_config({key: text})[0][key]
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, str) and key not in {"annotation-value-word-blocklist", "log-format-upstream"}:
            assert item == DEFAULTS[key] or not set(item) & set(";{}\n\r\0")
        if isinstance(item, str):
            assert "\n" not in item
