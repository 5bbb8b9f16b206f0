"""Where access logs lie while something is measured: in memory.

On a disk the kernel writes them back later, at the cost of whoever's turn it then is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - each log has a folder of its own in it


class AccessLog:
    """One access log, empty at the start; `remove` it at the end."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-", dir=_MEMORY if _MEMORY.is_dir() else None)
        self.path = Path(self._folder.name) / "access.log"
        self.path.touch()

    def remove(self) -> None:
        """Remove the file."""
        self._folder.cleanup()
