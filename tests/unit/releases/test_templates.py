"""Templates in overrideValues: what files of other Helm operators use, and what the sandbox refuses."""

from __future__ import annotations

import pytest

from gateway_operator.releases.templates import render

ENV = {"TAG": "v1", "EMPTY": "", "PATHS": "/a:/b"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{ env.TAG }}", "v1"),
        ("{{ env['TAG'] | upper }}-x", "V1-x"),
        ('{{ "A" | lower }}', "a"),
        ("{{ env.NONE | default('d') }}", "d"),
        ("{{ env.EMPTY | default('d') }}", "d"),
        ("{{ env.TAG | default('d') | quote }}", '"v1"'),
        ("{{ 'a\"b' | quote }}", '"a\\"b"'),
        ("{{ '  x ' | trim }}", "x"),
        ("{{ env.TAG | replace('v', 'w') }}", "w1"),
        ("{{ env.TAG | trimPrefix('v') }}", "1"),
        ("{{ env.PATHS | split(':') | join(',') }}", "/a,/b"),
        ("{{ 'abc' | trunc(2) }}{{ 'abc' | trunc(-1) }}", "abc"),
        ("{{ 'x' | b64enc }}{{ 'eA==' | b64dec }}", "eA==x"),
        ("{% if env.TAG == 'v1' %}yes{% else %}no{% endif %}", "yes"),
        ("{{ 'x' | repeat(3) }}", "xxx"),
    ],
)
def test_filters(text, expected):
    """Each filter does what its name means to users of Helm."""
    assert render(text, ENV) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ env.NONE }}", "has no attribute 'NONE'"),
        ("{{ .Values.x }}", "templates here are Jinja2"),
        ('{{ env "TAG" }}', "templates here are Jinja2"),
        ("{{ ''.__class__ }}", "may not do this"),
        ("{{ 1 / 0 }}", "can't be evaluated"),
        ("{{ 'x' | repeat(100000) }}", "more than"),
        ("{{ open('/etc/passwd') }}", "'open' is undefined"),
    ],
)
def test_mistakes(text, said):
    """An error says what is wrong; nothing but the environment can be reached."""
    with pytest.raises(ValueError, match="template") as caught:
        render(text, ENV)
    assert said in str(caught.value)
