"""The annotation table as Markdown, for the page that users read; a test keeps page and table equal.

`python -m gateway_operator.ingress.annotation_page` prints it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from gateway_operator.ingress.annotation_refused import REFUSED
from gateway_operator.ingress.annotation_rows import PREFIX, Row
from gateway_operator.ingress.annotation_table import GROUP_ROWS

TITLES = {
    "routing": "Rewrites, redirects, names, TLS",
    "backend": "Backends",
    "balancing": "Balancing and affinity",
    "canary": "Canaries",
    "auth": "Authentication",
    "cors": "CORS",
    "limits": "Networks and rates",
    "extra": "Ours, which upstream hasn't got",
}


def tables() -> str:
    """Return all groups, each with its heading."""
    parts = [_table(title, GROUP_ROWS[group]) for group, title in TITLES.items()]
    return "\n".join([*parts, _table("Not supported", REFUSED)])


def _table(title: str, rows: Iterable[Row]) -> str:
    return "\n".join([f"## {title}", "| annotation | about | | note |", "|---|---|---|---|", *_lines(rows), ""])


def _lines(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        name = row.name if row.prefix == PREFIX else row.key
        names = " ".join(f"`{item}`" for item in (name, *row.aliases))
        note = row.note + "; a wrong value shuts the paths" if row.note else "a wrong value shuts the paths"
        yield f"| {names} | {row.scope} | {row.support} | {note if row.closes else row.note} |"


if __name__ == "__main__":
    sys.stdout.write(tables())
