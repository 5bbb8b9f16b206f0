"""Tests of reading access lines, whose larger part clients write."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.errors import ConfigError
from gateway_operator.observe.logs.access_lines import AccessLines
from gateway_operator.observe.logs.ownership import owned
from tests.observe.logs.corpus import access, json_access

LINES = AccessLines()
FAKE = access("shop-tea-80", status=200)
HOSTILE = [
    FAKE,
    f'" {FAKE}',
    'x" 200 2 "-" "x" 77 0.004 [shop-tea-80] [] 10.1.0.5:8080 2 0.004 200 x',
    '\\" [shop-tea-80] \\x22',
    '","namespace":"shop","x":"',
    '"}{"namespace":"shop"}',
    "x\r\n" + FAKE,
    "[shop-tea-80] []",
    "\u2028\x85" + FAKE,
]
TEXTS = st.text(max_size=60) | st.sampled_from(HOSTILE)


@given(referer=TEXTS, agent=TEXTS, user=TEXTS, path=TEXTS, request_id=TEXTS)
def test_clients_texts_never_pass_for_the_gateways(
    referer: str, agent: str, user: str, path: str, request_id: str
) -> None:
    """Whatever a client sends, the route, status and upstream read from its line are those that nginx wrote."""
    line = access(
        "blog-web-80", status=503, referer=referer, agent=agent, user=user, path=f"/{path}", request_id=request_id
    )
    found = LINES.read(line)
    assert found is not None
    assert (found.upstream_name, found.status, found.upstream) == ("blog-web-80", 503, "10.1.0.5:8080")
    assert owned(found, "shop", frozenset({"shop", "blog"})) == "no"
    assert owned(found, "blog", frozenset({"shop", "blog"})) == "yes"


@given(agent=TEXTS, uri=TEXTS)
def test_clients_texts_never_pass_for_the_gateways_in_json(agent: str, uri: str) -> None:
    """The same for a format in JSON, escaped as JSON."""
    found = LINES.read(json_access("blog", http_user_agent=agent, http_referer=uri))
    assert found is not None
    assert (found.namespace, found.status) == ("blog", 200)


@given(agent=TEXTS, referer=TEXTS)
def test_unescaped_logs_are_not_believed(agent: str, referer: str) -> None:
    """With log-format-escape-none a line that a client has bent is no access line, or still the gateway's own."""
    template = '{{"http_referer":"{}","namespace":"blog","status":"200","method":"GET","http_user_agent":"{}"}}'
    found = LINES.read(template.format(referer, agent))
    assert found is None or found.namespace == "blog"


def test_nested_json_of_a_client_is_no_access_line() -> None:
    """A client can't hide the gateway's namespace in an object of its own making (log-format-escape-none)."""
    referer, agent = '","namespace":"shop","x":{"y":"', '"},"z":"'
    line = f'{{"http_referer":"{referer}","namespace":"blog","status":"200","method":"GET","ua":"{agent}"}}'
    assert json.loads(line)["namespace"] == "shop"  # what a plain reader would believe
    assert LINES.read(line) is None


def test_a_part_of_a_split_line_is_no_access_line() -> None:
    """Runtimes split lines at 16 KiB; no rest of a line passes for one, wherever it was cut."""
    line = access("blog-web-80", path="/" + FAKE, agent=FAKE, referer=FAKE)
    assert LINES.read(line) is not None
    for cut in range(1, len(line)):
        found = LINES.read(line[cut:])
        assert found is None or owned(found, "shop", frozenset({"shop", "blog"})) == "no"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"namespace":"shop"}',
        '{"event":"reloaded","namespace":"shop","status":"200"}',
        '2026/11/21 12:00:00 [error] 7#7: *1 connect() failed, client: 1.2.3.4, request: "GET / HTTP/1.1"',
        "x" * 100_000,
        access() + "\n" + access(),
        '{"a":' * 5000,
    ],
)
def test_other_lines_are_none(line: str) -> None:
    """Errors, the controller's own words and rubbish are not access lines."""
    assert LINES.read(line) is None


def test_fields_of_the_usual_format() -> None:
    """Every field of a line that the format prints is read."""
    found = LINES.read(access("shop-tea-80", status=404, method="post", path="/tea?x=1", latency=1.5))
    assert found is not None
    assert (found.status, found.method, found.path, found.latency) == (404, "POST", "/tea", 1.5)
    assert (found.upstream, found.upstream_name, found.host) == ("10.1.0.5:8080", "shop-tea-80", "")


def test_retried_requests_are_read() -> None:
    """Several upstreams, or none, don't keep a line from being read."""
    for upstream in ("10.1.0.5:8080, 10.1.0.6:8080", "10.1.0.5:8080 : 10.1.0.6:8080", "-", "[fd00::1]:8080"):
        found = LINES.read(access(upstream=upstream))
        assert found is not None
        assert found.upstream == ("" if upstream == "-" else upstream)


def test_a_request_that_is_none_is_read() -> None:
    """A client that speaks TLS to a plain port is a 400 without method and path."""
    line = access().replace('"GET /tea HTTP/1.1" 200', '"\\x16\\x03\\x01" 400')
    found = LINES.read(line)
    assert found is not None
    assert (found.status, found.method, found.path) == (400, "", "")


def test_own_formats_are_read() -> None:
    """A format that was named is read, with host and namespace."""
    lines = AccessLines(['$remote_addr [$namespace] $status $request_time "$host" "$request"'])
    found = lines.read('203.0.113.7 [shop-b] 200 0.100 "a.example.com" "GET /x HTTP/2.0"')
    assert found is not None
    assert (found.namespace, found.host, found.path, found.latency) == ("shop-b", "a.example.com", "/x", 0.1)


def test_formats_that_clients_could_bend_are_refused() -> None:
    """A client's text outside of quotes could pass for the fields after it."""
    with pytest.raises(ConfigError, match="http_user_agent must stand in double quotes"):
        AccessLines(["$remote_addr $http_user_agent [$namespace] $status"])


def test_a_route_that_may_be_anothers_is_in_doubt() -> None:
    """`a-b-c-80` may be a's or a-b's: with both there, it is nobody's; a namespace in the line decides."""
    line = LINES.read(access("shop-tea-web-80"))
    assert line is not None
    assert owned(line, "shop", frozenset({"shop"})) == "yes"
    assert owned(line, "shop", frozenset({"shop", "shop-tea"})) == "doubt"
    assert owned(line, "shop-tea", frozenset({"shop", "shop-tea"})) == "doubt"
    assert owned(line, "shop", None) == "doubt"
    assert owned(line, "tea", frozenset({"shop", "tea"})) == "no"
    named = LINES.read(json_access("shop-tea"))
    assert named is not None
    assert [owned(named, name, frozenset({"shop"})) for name in ("shop", "shop-tea")] == ["no", "yes"]


def test_the_default_backend_is_nobodys() -> None:
    """`upstream-default-backend` is no route of a project that is called upstream."""
    line = LINES.read(access("upstream-default-backend"))
    assert line is not None
    assert owned(line, "upstream", frozenset({"upstream"})) == "no"


def test_the_cluster_is_read_from_every_format_that_prints_it() -> None:
    """`$gateway_cluster` may stand anywhere in a format, also without quotes: it is a name that we gave."""
    quoted = '"$request" $status "$gateway_cluster"'
    for form in (quoted, quoted.replace('"$gateway_cluster"', "[$gateway_cluster]")):
        text = form.replace("$request", "GET /tea HTTP/1.1").replace("$status", "200")
        for name in ("wuhan", ""):
            found = AccessLines((form,)).read(text.replace("$gateway_cluster", name))
            assert found is not None
            assert (found.path, found.cluster) == ("/tea", name)
