"""Every annotation's grammar: what is taken and as what, what is refused, and that nothing hostile gets through."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway_operator.ingress.annotation_readers import AuthUrl
from gateway_operator.ingress.annotation_refused import REFUSED, SNIPPETS
from gateway_operator.ingress.annotation_rows import CRITICAL, OURS, PREFIX, Risk, Row, Support
from gateway_operator.ingress.annotation_table import BY_KEY, GROUP_ROWS, TABLE
from gateway_operator.ingress.annotations import NOTHING, ReadRules, read_annotations
from gateway_operator.ingress.problems import Problem, Ref

REF = Ref("Ingress", "apps", "one", "uid")
READABLE = [row for row in TABLE if row.support is not Support.UNSUPPORTED]

GOOD: dict[str, dict[str, Any]] = {
    "rewrite-target": {"/": "/", "/$1/x-$2": "/$1/x-$2", "$1": "$1", "/a.b_c~d/e": "/a.b_c~d/e"},
    "use-regex": {"true": True, "False": False},
    "app-root": {"/app": "/app", "/app/?x=1&y=2": "/app/?x=1&y=2", "/": "/"},
    "permanent-redirect": {
        "https://x.test": "https://x.test",
        "http://x.test:8080/a?b=c#d": "http://x.test:8080/a?b=c#d",
        "https://x.test$request_uri": "https://x.test${request_uri}",
    },
    "permanent-redirect-code": {"308": 308},
    "temporal-redirect": {"https://x.test/a": "https://x.test/a"},
    "temporal-redirect-code": {"307": 307},
    "from-to-www-redirect": {"true": True},
    "server-alias": {"b.test, A.test,*.c.test": ("*.c.test", "a.test", "b.test")},
    "x-forwarded-prefix": {"/api": "/api"},
    "upstream-vhost": {
        "x.test:8080": "x.test:8080",
        "$service_name.$namespace.svc.cluster.local": "${service_name}.${namespace}.svc.cluster.local",
    },
    "preserve-trailing-slash": {"true": True},
    "ssl-redirect": {"false": False},
    "force-ssl-redirect": {"true": True},
    "ssl-ciphers": {"ECDHE-RSA-AES256-GCM-SHA384:!aNULL": "ECDHE-RSA-AES256-GCM-SHA384:!aNULL"},
    "ssl-prefer-server-ciphers": {"true": True, "false": False},
    "ssl-passthrough": {"true": True},
    "backend-protocol": {"https": "https", "GRPC": "grpc", "GRPCS": "grpcs", "HTTP": "http"},
    "proxy-ssl-secret": {"apps/pair": ("apps", "pair"), "pair": ("", "pair")},
    "proxy-ssl-verify": {"on": True, "off": False},
    "proxy-ssl-verify-depth": {"3": 3},
    "proxy-ssl-name": {"Back.test": "back.test"},
    "proxy-ssl-server-name": {"on": True},
    "proxy-ssl-ciphers": {"HIGH:!aNULL": "HIGH:!aNULL"},
    "proxy-ssl-protocols": {"TLSv1.2 TLSv1.3": "TLSv1.2 TLSv1.3"},
    "service-upstream": {"true": True},
    "default-backend": {"errors": "errors"},
    "custom-http-errors": {"404, 503": (404, 503)},
    "disable-proxy-intercept-errors": {"true": True},
    "proxy-body-size": {"8m": "8m", "0": "0", "1G": "1g"},
    "proxy-connect-timeout": {"5": "5s", "500ms": "500ms"},
    "proxy-read-timeout": {"3600": "3600s"},
    "proxy-send-timeout": {"60": "60s"},
    "proxy-buffer-size": {"16k": "16k"},
    "proxy-buffers-number": {"8": 8},
    "proxy-busy-buffers-size": {"32k": "32k"},
    "proxy-max-temp-file-size": {"0": "0"},
    "proxy-buffering": {"on": "on"},
    "proxy-request-buffering": {"off": "off"},
    "client-body-buffer-size": {"1M": "1m"},
    "proxy-http-version": {"1.0": "1.0"},
    "proxy-next-upstream": {"error timeout http_502": "error timeout http_502"},
    "proxy-next-upstream-tries": {"2": 2},
    "proxy-next-upstream-timeout": {"10": "10s"},
    "proxy-cookie-domain": {"off": ("off", ""), "localhost example.org": ("localhost", "example.org")},
    "proxy-cookie-path": {"/one/ /": ("/one/", "/")},
    "proxy-redirect-from": {"off": "off", "http://a.test/": "http://a.test/"},
    "proxy-redirect-to": {"https://b.test/": "https://b.test/"},
    "custom-headers": {"apps/headers": ("apps", "headers")},
    "connection-proxy-header": {"keep-alive": "keep-alive"},
    "enable-access-log": {"false": False},
    "load-balance": {"ewma": "ewma", "least_conn": "least_conn"},
    "upstream-hash-by": {
        "$request_uri": "${request_uri}",
        "${request_uri}-text": "${request_uri}-text",
        "$http_x_user$arg_a$cookie_b": "${http_x_user}${arg_a}${cookie_b}",
    },
    "affinity": {"cookie": "cookie"},
    "affinity-mode": {"persistent": "persistent"},
    "affinity-canary-behavior": {"legacy": "legacy"},
    "session-cookie-name": {"route": "route"},
    "session-cookie-path": {"/a": "/a"},
    "session-cookie-domain": {".x.test": ".x.test"},
    "session-cookie-max-age": {"3600": 3600},
    "session-cookie-expires": {"-1": -1},
    "session-cookie-samesite": {"none": "None", "Lax": "Lax"},
    "session-cookie-conditional-samesite-none": {"true": True},
    "session-cookie-secure": {"true": True},
    "session-cookie-change-on-failure": {"true": True},
    "canary": {"true": True},
    "canary-weight": {"20": 20},
    "canary-weight-total": {"1000": 1000},
    "canary-by-header": {"X-Canary": "X-Canary"},
    "canary-by-header-value": {"eu west": "eu west"},
    "canary-by-header-pattern": {"^(eu|us)-[0-9]+$": "^(eu|us)-[0-9]+$"},
    "canary-by-cookie": {"canary": "canary"},
    "auth-type": {"basic": "basic"},
    "auth-secret": {"users": ("", "users"), "apps/users": ("apps", "users")},
    "auth-secret-type": {"auth-map": "auth-map"},
    "auth-realm": {"Please, log in": "Please, log in"},
    "auth-url": {
        "http://auth.apps.svc.cluster.local:8080/check?a=$request_uri": AuthUrl(
            False, "auth.apps.svc.cluster.local", 8080, "/check?a=${request_uri}"
        ),
        "https://$host/oauth2/auth": AuthUrl(True, "", 443, "/oauth2/auth"),
        "http://10.0.0.9": AuthUrl(False, "10.0.0.9", 80, "/"),
        "http://[fd00::1]:81/x": AuthUrl(False, "fd00::1", 81, "/x"),
    },
    "auth-method": {"POST": "POST"},
    "auth-signin": {
        "https://$host/oauth2/start?rd=$escaped_request_uri": "https://${host}/oauth2/start?rd=${escaped_request_uri}",
    },
    "auth-signin-redirect-param": {"next": "next"},
    "auth-response-headers": {"X-User, X-Email": ("X-User", "X-Email")},
    "auth-request-redirect": {"https://x.test/": "https://x.test/"},
    "auth-always-set-cookie": {"true": True},
    "enable-global-auth": {"false": False},
    "auth-tls-secret": {"apps/ca": ("apps", "ca")},
    "auth-tls-verify-client": {"optional": "optional"},
    "auth-tls-verify-depth": {"2": 2},
    "auth-tls-error-page": {"https://x.test/denied": "https://x.test/denied", "/denied": "/denied"},
    "auth-tls-pass-certificate-to-upstream": {"true": True},
    "auth-tls-match-cn": {"CN=(one|two)": "CN=(one|two)"},
    "satisfy": {"any": "any"},
    "enable-cors": {"true": True},
    "cors-allow-origin": {
        "https://a.test, http://*.b.test:8080": ("https://a.test", "http://*.b.test:8080"),
        "*": ("*",),
    },
    "cors-allow-methods": {"GET, PUT": ("GET", "PUT")},
    "cors-allow-headers": {"X-One,X_Two": ("X-One", "X_Two")},
    "cors-allow-credentials": {"false": False},
    "cors-expose-headers": {"*": ("*",)},
    "cors-max-age": {"600": 600},
    "allowlist-source-range": {"10.0.0.1/8, 192.168.0.1": ("10.0.0.0/8", "192.168.0.1/32")},
    "denylist-source-range": {"fd00::/8": ("fd00::/8",)},
    "limit-rps": {"5": 5},
    "limit-rpm": {"300": 300},
    "limit-rate": {"20": 20, "0": 0},
    "limit-rate-after": {"4": 4},
    "limit-connections": {"2": 2},
    "limit-burst-multiplier": {"3": 3},
    "limit-allowlist": {"10.0.0.0/8": ("10.0.0.0/8",)},
    "health-check-path": {"/healthz": "/healthz", "tcp": "tcp"},
    "health-check-host": {"x.test": "x.test"},
    "health-check-interval": {"2.5": 2.5, "10s": 10.0},
    "slow-start": {"30": 30.0},
    "max-fails": {"3": 3},
    "fail-timeout": {"10": 10.0},
    "response-headers": {"X-One: a b\nX-Two: c": (("X-One", "a b"), ("X-Two", "c"))},
}

BAD: dict[str, list[str]] = {
    "rewrite-target": ["http://evil.test/", "/a?b", "/$x", "x", "/a;b", "/$0", "/${1}"],
    "app-root": ["//evil.test/", "app", "/$host"],
    "permanent-redirect": ["ftp://x.test", "/x", "https://$host/", "https://x.test/$uri", "https://x.test/';"],
    "permanent-redirect-code": ["200", "304", "400"],
    "server-alias": ["~^www\\d+", "a b", "*", ","],
    "upstream-vhost": ["$host", "a b", "x.test/y"],
    "ssl-ciphers": ["ALL:@SECLEVEL=0", "no-such-cipher", "HIGH;", "HIGH aNULL", "!ALL"],
    "ssl-prefer-server-ciphers": ["on", "1.2"],
    "backend-protocol": ["FCGI", "AUTO_HTTP", "TCP"],
    "proxy-ssl-secret": ["../pair", "a/b/c", "a/"],
    "proxy-ssl-protocols": ["SSLv3", "TLSv1"],
    "custom-http-errors": ["302", "4xx"],
    "proxy-buffers-number": ["2"],
    "proxy-cookie-domain": ["~x y", "one", "a b c"],
    "upstream-hash-by": ["$uid_got;", "$document_root", "$", "${request_uri", "a b"],
    "canary-by-header": ["X Canary", "X:Y"],
    "canary-by-header-pattern": ["(a+)+$", "[", "(?<x>y)", "a" * 600],
    "auth-type": ["digest", "none"],
    "auth-secret": ["../../etc/passwd", "a b"],
    "auth-url": [
        "/x",
        "ftp://x.test",
        "http://$arg_x/",
        "http://x.test:99999/",
        "http://x.test/#;",
        "http://a@b.test/",
    ],
    "auth-method": ["get", "GET;", "FOO"],
    "auth-response-headers": ["X User", ",".join(f"X-{number}" for number in range(101))],
    "auth-signin": ["javascript:alert(1)", "https://x.test/$uid_got"],
    "auth-tls-match-cn": ["one", "CN=(a+)+", 'CN=")x'],
    "auth-tls-error-page": ["@named", "x.test"],
    "cors-allow-headers": [",", ",".join(f"X-{number}" for number in range(500))],
    "cors-allow-origin": ["a.test", "https://*.*.test", "https://a.test/path"],
    "allowlist-source-range": ["10.0.0.0/33", "all", ","],
    "load-balance": ["random"],
    "session-cookie-name": ["a=b", "a;b"],
    "response-headers": ["X-One", "X One: a", "X-One: $host"],
    "health-check-path": ["healthz", "//x"],
}

# One payload for each class of hole in section 4.1 of the reference, as far as an annotation could carry it.
PAYLOADS = [
    "x;} location /pwn { return 200 $http_authorization; } #",
    "x\n}\nserver { listen 81; }",
    "x\r\nSet-Cookie: a=b",
    "x\r} #",
    "/x\x00y",
    'x" ; load_module /tmp/evil.so; "',
    "x'; ssl_engine evil; '",
    "x{{7*7}}",
    "../../../var/run/secrets/kubernetes.io/serviceaccount/token",
    "http://x.test/#;\n}}}\nssl_engine ../../../proc/1/fd/1;",
    "CN=x){}} ssl_engine ../../proc/self/fd/1;#",
    "http://x.test$uri;include /etc/passwd",
    "GET; return 200",
    "x\\",
    "${env.SECRET}",
    "$http_authorization;",
    "`id`",
    "*/ }; daemon off; /*",
    "by_lua_block { os.execute('id') }",
    "http://169.254.169.254/$ssl_client_escaped_cert",
]


REGULAR = {"canary-by-header-pattern", "auth-tls-match-cn"}


def is_inert(row: Row, value: Any) -> bool:
    """Tell whether a value that was taken can't end a directive, a string or a line, nor hold a strange variable."""
    if dataclasses.is_dataclass(value):
        return all(is_inert(row, item) for item in vars(value).values())
    if isinstance(value, tuple):
        return all(is_inert(row, item) for item in value)
    if not isinstance(value, str):
        return True
    plain = re.sub(r"\$\{\w+\}", "", value)
    quoted = row.name in REGULAR | {"response-headers"}  # the renderers quote these
    return not set("\r\n\0$" if quoted else ";{}\"'\\\r\n\0$`") & set(plain.removesuffix("$"))


def read(row: Row, value: str, rules: ReadRules | None = None) -> tuple[Any, list[Problem]]:
    """What one annotation comes to."""
    found, problems = read_annotations(REF, {row.key: value}, rules)
    group = next(group for group, rows in GROUP_ROWS.items() if row in rows)
    return getattr(getattr(found, group), row.field), problems


@pytest.mark.parametrize("row", READABLE, ids=lambda row: row.name)
def test_good_values_are_read(row: Row) -> None:
    """Each annotation has values that it takes, and what they come to."""
    for text, expected in GOOD[row.name].items():
        assert read(row, f" {text} ") == (expected, [])


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_values_are_named(name: str) -> None:
    """A wrong value leaves nothing behind, and the problem names object and field."""
    row = next(row for row in READABLE if row.name == name)
    for text in BAD[name]:
        value, problems = read(row, text)
        assert value == row.fallback, text
        assert [(p.ref, p.reason, p.field) for p in problems] == [
            (REF, "InvalidAnnotation", f"metadata.annotations[{row.key}]")
        ]
        assert problems[0].message.count(": ") >= 1


@pytest.mark.parametrize("row", READABLE, ids=lambda row: row.name)
def test_payloads_of_known_holes_are_refused(row: Row) -> None:
    """No annotation takes any of them, alone or behind a good value, in a form that could mean more than a text."""
    good = next(iter(GOOD[row.name]))
    for payload in PAYLOADS:
        for text in (payload, good + payload):
            value, problems = read(row, text)
            if problems:
                assert value == row.fallback
                assert not {"\r", "\n", "\0"} & set(problems[0].message)
            else:
                assert is_inert(row, value), (row.name, text)


@given(st.sampled_from(READABLE), st.text(max_size=200))
@example(READABLE[0], "/\u2028")
def test_any_text_is_read_or_named(row: Row, text: str) -> None:
    """Whatever a user writes, reading never raises, and what comes out has no control character."""
    value, problems = read(row, text)
    assert len(problems) <= 1
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, str):
            assert item.isascii()
            assert item.isprintable()


def test_wrong_values_of_guards_shut_the_paths() -> None:
    """What keeps people out must not fail open."""
    guards = {row.name for row in TABLE if row.closes}
    assert {"auth-type", "auth-secret", "auth-url", "auth-tls-secret", "allowlist-source-range"} <= guards
    for row in READABLE:
        found = read_annotations(REF, {row.key: "\x00"})[0]
        assert bool(found.closed) is row.closes


def test_unsupported_ones_say_what_to_do() -> None:
    """Every row that isn't supported has a note; snippets are refused at any risk level."""
    assert all(row.note for row in TABLE if row.support is not Support.SUPPORTED)
    assert len(SNIPPETS) == 5
    for name in SNIPPETS:
        row = BY_KEY[PREFIX + name]
        assert (row.support, row.risk) == (Support.UNSUPPORTED, CRITICAL)
        found, problems = read_annotations(REF, {row.key: "return 200;"}, ReadRules(Risk.CRITICAL))
        assert found is NOTHING
        assert [p.reason for p in problems] == ["UnsupportedAnnotation"]


def test_switched_off_ones_are_silent() -> None:
    """`enable-modsecurity: "false"` asks for nothing that isn't there."""
    assert read_annotations(REF, {f"{PREFIX}enable-modsecurity": "false", f"{OURS}paused": "true", "x/y": "z"}) == (
        NOTHING,
        [],
    )


def test_aliases_yield_to_the_name() -> None:
    """`whitelist-source-range` is read, unless `allowlist-source-range` is there."""
    old, new = f"{PREFIX}whitelist-source-range", f"{PREFIX}allowlist-source-range"
    assert read_annotations(REF, {old: "10.0.0.0/8"})[0].limits.allowlist_source_range == ("10.0.0.0/8",)
    both = read_annotations(REF, {old: "10.0.0.0/8", new: "11.0.0.0/8"})[0]
    assert both.limits.allowlist_source_range == ("11.0.0.0/8",)


def test_the_administrator_limits_risk_and_words() -> None:
    """`annotations-risk-level` and `annotation-value-word-blocklist` hold for aliases as well."""
    alias = BY_KEY[f"{PREFIX}server-alias"]
    assert read(alias, "a.test", ReadRules(Risk.MEDIUM))[0] is None
    assert read(alias, "a.test", ReadRules(Risk.HIGH))[0] == ("a.test",)
    old = f"{PREFIX}whitelist-source-range"
    found, problems = read_annotations(REF, {old: "10.0.0.0/8"}, ReadRules(Risk.LOW))
    assert found.closed
    assert problems[0].field == f"metadata.annotations[{old}]"
    assert read(alias, "evil.test", ReadRules(blocklist=("evil",)))[0] is None


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_each_refusal_reaches_the_owner(row: Row) -> None:
    """What isn't honoured leaves nothing behind, and the Event has the row's own words."""
    found, problems = read_annotations(REF, {row.key: "something"})
    assert found is NOTHING
    assert [(problem.ref, problem.reason) for problem in problems] == [(REF, "UnsupportedAnnotation")]
    assert f"{row.name} ({row.note})" in problems[0].message
