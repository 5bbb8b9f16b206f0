"""What both renderers share: the form of their result, the template environment, and the http level's context.

Settings, log format, maps and forwarded headers come from one template with one context, so that the static and the
dynamic configuration can't drift apart.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.http_level import HTTP2_DIRECTIVE_SINCE, http_context

_TEMPLATES = Path(__file__).parent.parent / "templates"

__all__ = ["HTTP2_DIRECTIVE_SINCE", "Rendered", "http_context", "print_template", "version_file"]


@dataclass(frozen=True)
class Rendered:
    """Files by relative name, and for each server file the owner (an id of the index) from each first line on.

    `data` is what a running nginx takes without a reload, by key; the static renderer has none. `needs` names, for a
    key of it, the files that nginx must have loaded before it gets the value.
    """

    files: Mapping[str, bytes]
    owners: Mapping[str, tuple[tuple[int, str], ...]]
    data: Mapping[str, bytes] = field(default_factory=dict)
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def owner_at(self, file: str, line: int) -> str:
        """Return who is behind a line of a server file; "" where nobody alone is."""
        found = ""
        for first, owner in self.owners.get(file, ()):
            if first <= line:
                found = owner
        return found


def version_file(version: str) -> bytes:
    """Return the file that makes new workers tell which generation they serve."""
    text = v.quoted(version)
    return f"location = /configuration-version {{\n    return 200 {text};\n}}\n".encode()


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        finalize=v.only_typed,
        autoescape=False,  # noqa: S701  (nginx text, not HTML: only_typed is its guard)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def print_template(template: str, context: Mapping[str, Any]) -> bytes:
    """Print a template of the folder `templates`; the context holds typed values, booleans and collections of them."""
    return _environment().get_template(template).render(context).encode()
