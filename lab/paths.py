"""Where the lab keeps things, so that nothing it makes ever lies inside the checkout.

What took long to make (binaries, root file systems, image archives) is shared by all labs of a user; what belongs to a
running lab has a folder of its own, which `down` removes.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError

CHECKOUT = Path(__file__).resolve().parent.parent
GO_MODULES = Path(__file__).resolve().parent / "go"


def cache() -> Path:
    """The folder for everything that outlives a lab."""
    chosen = os.environ.get("GATEWAY_LAB_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "gateway-operator"


def run_dir(lab: str) -> Path:
    """The folder for the state of one running lab."""
    return cache() / "run" / lab


_held = threading.local()  # names of locks, by thread


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock that other processes and threads respect, so that parallel callers build a thing once.

    Raises LabError for a lock that this thread holds already: it would wait for itself.
    """
    names: set[str] = _held.__dict__.setdefault("names", set())
    if name in names:
        raise LabError(f"the lock {name} is asked for by its own holder")
    folder = cache() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        names.add(name)
        try:
            yield
        finally:
            names.discard(name)


def say(message: str) -> None:
    """Show a step of a long job."""
    print(f"[lab] {message}", flush=True)
