"""Keeps objects in less memory: JSON brings its own copy of every key with each watch event.

Thousands of objects of one kind have the same few dozen keys, which together weigh more than what they name.
"""

from __future__ import annotations

import sys
from typing import Any


def shared(value: Any) -> Any:
    """Return the same JSON value, its keys being one and the same text in all objects."""
    if isinstance(value, dict):
        return {sys.intern(key): shared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shared(item) for item in value]
    return value
