"""`--set` paths and values."""

from __future__ import annotations

import pytest

from gateway_operator.releases.setpaths import MISSING, expand_env, get_path, parse_path, set_path, typed


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b.c", ("a", "b", "c")),
        ("a[0].b", ("a", 0, "b")),
        ("a[0][1]", ("a", 0, 1)),
        (r"labels.app\.kubernetes\.io/name", ("labels", "app.kubernetes.io/name")),
        (r"a\[0\]", ("a[0]",)),
    ],
)
def test_paths_are_read_as_helm_does(text, path):
    """Dots, indexes and escapes."""
    assert parse_path(text) == path


@pytest.mark.parametrize("text", ["", "a..b", ".a", "a.", "[0]", "a[x]", "a[0", "a[99999999]", "a[0]b"])
def test_broken_paths_are_refused(text):
    """A path that Helm could not read is an error, not a guess."""
    with pytest.raises(ValueError, match="path"):
        parse_path(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("3", 3),
        ("0", 0),
        ("-2", -2),
        ("007", "007"),
        ("1.5", "1.5"),
        ('"true"', "true"),
        ('"3"', "3"),
        ("{a,2,true}", ["a", 2, True]),
        ("{}", []),
        (r"a\,b", "a,b"),
        ("a,b", "a,b"),
        ("", ""),
    ],
)
def test_values_have_the_types_that_set_gives_them(text, value):
    """The peer made everything a string, which charts with a schema refuse."""
    result = typed(text)
    assert result == value
    assert type(result) is type(value)


def test_environment_is_expanded():
    """All three spellings, and a dollar that means itself."""
    env = {"A": "x", "EMPTY": ""}
    assert expand_env("$A-${A}-${B:-d}-${EMPTY:-e}-$$", env) == "x-x-d-e-$"


def test_unset_variable_is_an_error():
    """An unset variable would silently become an empty image tag."""
    with pytest.raises(ValueError, match="B is not set"):
        expand_env("${B}", {})


def test_set_path_makes_what_is_missing_and_leaves_its_input_alone():
    """Maps and lists appear on the way; the original stays."""
    values = {"a": {"b": 1}}
    assert set_path(values, ("a", "c", 1, "d"), 5) == {"a": {"b": 1, "c": [None, {"d": 5}]}}
    assert values == {"a": {"b": 1}}


def test_get_path_tells_missing_from_null():
    """A null that the user wrote is a value."""
    assert get_path({"a": None}, ("a",)) is None
    assert get_path({"a": None}, ("a", "b")) is MISSING
    assert get_path({"a": [1]}, ("a", 1)) is MISSING
