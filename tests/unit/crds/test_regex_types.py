"""Users' regular expressions: ordinary ones pass, those that hang or that PCRE reads otherwise don't."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway_operator.crds.regex_types import regex
from gateway_operator.crds.text_types import blocked, cookie_domain, cookie_path, redirect_text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("/api(/|$)(.*)", 2),
        ("/v[12]/(users|items)/?(.*)", 2),
        ("/foo/[A-Z]{3}", 0),
        ("(/[a-z]+)*", 1),
        ("(jpg|png)+", 1),
        ("/(?!api)(.*)", 1),
        ("^/x$", 0),
        ("/a\\.b\\d+", 0),
        ("(?i)/x", 0),
        ("/x{1,3}", 0),
    ],
)
def test_ordinary_expressions(text: str, count: int) -> None:
    """What paths and header patterns are usually like."""
    assert regex(text) == text
    assert re.compile(text).groups == count


@pytest.mark.parametrize(
    "text",
    [
        "", "(a+)+", "(a|a)*", "(.*)*", "(a*)*b", "((ab)*c*)*", "(a|ab)+", "([a-z]+|x)*", "/x(", "/x)", "[", "a**",
        "*a", "\\1", "(?<n>x)", "(?P<n>x)", "/(?i)x", "[[:alpha:]]", "$a", "a{2000}", "a;b", 'a"b', "a#b", "a b", "a\n",
        "a" * 600, "(" * 20 + ")" * 20, "^*", ".*" * 11, "a'b", "a\\", "{1}", "\u00e9",
    ],
)  # fmt: skip
def test_expressions_that_nginx_should_not_see(text: str) -> None:
    """Ambiguous repetitions, back references, named groups, and characters of configuration files."""
    with pytest.raises(ValueError, match="must be a regular expression"):
        regex(text)


@pytest.mark.filterwarnings("ignore:Possible set:FutureWarning")  # of Python's own sets, which PCRE doesn't have
@given(st.text(alphabet="ab(|)*+?[]^$.{1,2}\\d/-", max_size=20))
@example("[a||b]")
def test_what_passes_is_an_expression(text: str) -> None:
    """Whatever is taken compiles, and answers at once on a text made to provoke it."""
    try:
        regex(text)
    except ValueError:
        return
    re.match(text, "ab" * 12 + "!", re.IGNORECASE)


def test_texts_of_headers() -> None:
    """Two words or off; block lists take literals and expressions."""
    assert cookie_domain("localhost example.org") == ("localhost", "example.org")
    assert cookie_path("off") == ("off", "")
    assert redirect_text("https://x.test/a") == "https://x.test/a"
    assert (blocked("Mozilla/5.0 (bad)"), blocked("~*bot(net)?"), blocked("~x")) == (
        "Mozilla/5.0 (bad)",
        "~*bot(net)?",
        "~x",
    )
    for read, text in (
        (cookie_domain, "one"),
        (cookie_domain, "~a b"),
        (cookie_path, "/a $b"),
        (redirect_text, "$host"),
        (redirect_text, "a b"),
        (redirect_text, "~^http://x"),
        (blocked, "~(a+)+"),
        (blocked, 'a"b'),
        (blocked, "$x"),
    ):
        with pytest.raises(ValueError, match="must"):
            read(text)
