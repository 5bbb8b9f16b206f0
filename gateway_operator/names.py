"""Names that fit.

Helm releases end at 53 characters, labels and Services at 63, but a namespace alone may take 63. A name that is too
long is cut and gets a hash of the whole, so that it stays unique and the same for ever.
"""

from __future__ import annotations

import hashlib

HASH_LENGTH = 8
RELEASE_NAME_LIMIT = 53  # Helm: the release name goes into the name of its Secret and into labels with a suffix
DNS_LABEL_LIMIT = 63


def short_name(name: str, limit: int = DNS_LABEL_LIMIT) -> str:
    """Return `name`, or its start and a hash where it is longer than `limit` characters."""
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:HASH_LENGTH]
    return f"{name[: limit - HASH_LENGTH - 1].rstrip('-.')}-{digest}"


def release_name(name: str) -> str:
    """Return the name of the Helm release that serves the custom resource `name`."""
    return short_name(name, RELEASE_NAME_LIMIT)
