"""Templates in `overrideValues`, because files of other Helm operators have them.

The language is Jinja2 where theirs is Go's; short pipelines, as `{{ "a" | upper }}`, read the same in both. What a
template sees is the environment, as `env`; the sandbox keeps it from everything else.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, Undefined
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

_LIMIT = 64 * 1024


def _default(value: Any, otherwise: Any = "") -> Any:
    """Take `otherwise` for what is not there or empty, as Go's templates do."""
    return otherwise if isinstance(value, Undefined) or not value else value


def _quote(value: Any) -> str:
    return f'"{str(value).replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"'


_FILTERS: dict[str, Callable[..., Any]] = {
    "default": _default,
    "quote": _quote,
    "squote": lambda value: f"'{value}'",
    "trimPrefix": lambda value, prefix: str(value).removeprefix(prefix),
    "trimSuffix": lambda value, suffix: str(value).removesuffix(suffix),
    "trimAll": lambda value, chars: str(value).strip(chars),
    "trunc": lambda value, length: str(value)[:length] if length >= 0 else str(value)[length:],
    "repeat": lambda value, times: str(value) * int(times),
    "b64enc": lambda value: base64.b64encode(str(value).encode()).decode(),
    "b64dec": lambda value: base64.b64decode(str(value)).decode(),
    "split": lambda value, separator: str(value).split(separator),
    "contains": lambda value, part: part in str(value),
    "hasPrefix": lambda value, prefix: str(value).startswith(prefix),
    "hasSuffix": lambda value, suffix: str(value).endswith(suffix),
}


def render(text: str, env: Mapping[str, str]) -> str:
    """Evaluate the templates in `text`. Raises ValueError with what is wrong."""
    sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    sandbox.filters.update(_FILTERS)
    try:
        result = sandbox.from_string(text).render(env=dict(env))
    except SecurityError as error:
        raise ValueError(f"the template may not do this: {error}") from error
    except TemplateError as error:
        hint = "templates here are Jinja2, not Go's: write for example {{ env.TAG | default('v1') | quote }}"
        raise ValueError(f"the template {text!r} can't be evaluated: {error}; {hint}") from error
    except Exception as error:
        raise ValueError(f"the template {text!r} can't be evaluated: {error}") from error
    if len(result) > _LIMIT:
        raise ValueError(f"the template gives more than {_LIMIT} characters")
    return result
