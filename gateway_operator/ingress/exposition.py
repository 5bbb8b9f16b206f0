"""Prometheus text for series that no client library should hold: many, or named as upstream named them.

prometheus_client ends every counter's name with `_total`, which dashboards made for ingress-nginx don't know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

Sample = tuple[str, str, float]  # what follows the family's name, the labels' text, the value


def labels(values: Mapping[str, str]) -> str:
    """Return labels as they stand between braces."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    """Yield the lines of one family; nothing when it has no samples."""
    headed = False
    for suffix, marks, value in samples:
        if not headed:
            yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
            headed = True
        yield f"{name}{suffix}{{{marks}}} {value:.14g}\n"
