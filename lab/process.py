"""Start, find again and stop the daemons of a lab, since a lab outlives the command that started it.

A pid alone says little once a machine has reused it; a pid file here also records the process's start time, and a
process counts as ours only when both agree. Daemons of tests die with the thread that started them (PDEATHSIG).
"""

import atexit
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from lab.errors import LabError

STAT_START_TIME = 19  # of the fields that follow the command's closing parenthesis
TIED = ("setpriv", "--pdeathsig", "KILL", "--")


# children of this process, whichever object started them: each must be waited for once it has ended
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


class Daemons:
    """The daemons whose pid files and logs lie in one folder."""

    def __init__(self, directory: Path, *, tied: bool = False, prefix: Sequence[str] = ()) -> None:
        """Use `directory`; `tied` daemons die with this process, `prefix` comes before every command."""
        self.directory = directory
        self._prefix = [*(TIED if tied else ()), *prefix]

    def start(self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start a daemon unless it runs already."""
        if self.alive(name):
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            child = subprocess.Popen(
                [*self._prefix, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        _CHILDREN[child.pid] = child
        record = {"pid": child.pid, "start": start_time(child.pid)}
        self._pid_file(name).write_text(json.dumps(record))

    def names(self) -> list[str]:
        """The daemons that were started and not stopped, oldest first."""
        files = sorted(self.directory.glob("*.pid"), key=lambda file: file.stat().st_mtime_ns)
        return [file.stem for file in files]

    def alive(self, name: str) -> bool:
        """Whether the recorded process still runs."""
        return self.pid(name) is not None

    def pid(self, name: str) -> int | None:
        """The pid of a daemon that runs."""
        try:
            record = json.loads(self._pid_file(name).read_text())
            pid, start = int(record["pid"]), record["start"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        _reap()
        return pid if start is not None and start_time(pid) == start else None

    def log(self, name: str) -> Path:
        """The file with a daemon's output."""
        return self.directory / f"{name}.log"

    def stop(self, name: str, *, kill: bool = False, patience: float = 5.0) -> None:
        """End a daemon: politely first, unless `kill`."""
        pid = self.pid(name)
        if pid is not None:
            end(pid, first=signal.SIGKILL if kill else signal.SIGTERM, patience=patience, reap=self.alive_check(name))
            if child := _CHILDREN.get(pid):  # a zombie whose threads still end can't be reaped yet
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(patience)
        _reap()
        self._pid_file(name).unlink(missing_ok=True)

    def alive_check(self, name: str) -> Callable[[], bool]:
        """A function that tells whether a daemon still runs."""
        return lambda: self.alive(name)

    def stop_all(self, *, kill: bool = False) -> None:
        """End all daemons, youngest first."""
        for name in reversed(self.names()):
            self.stop(name, kill=kill)

    def tail(self, name: str, lines: int = 20) -> str:
        """The end of a daemon's output, for error messages."""
        try:
            return "\n".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _pid_file(self, name: str) -> Path:
        return self.directory / f"{name}.pid"


def _reap() -> None:
    for pid, child in list(_CHILDREN.items()):
        if child.poll() is not None:
            _CHILDREN.pop(pid, None)


@atexit.register
def _let_go() -> None:
    for child in _CHILDREN.values():  # who outlives this process on purpose is no resource that leaked
        child.returncode = 0


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; None for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[STAT_START_TIME])


def end(pid: int, *, first: signal.Signals, patience: float, reap: Callable[[], bool]) -> None:
    """Send a signal, wait until the process is gone, and insist with SIGKILL after `patience` seconds."""
    for chosen in (first, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, chosen)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not reap():
                return
            time.sleep(0.02)


def wait_for(what: str, check: Callable[[], bool], *, seconds: float, blame: Callable[[], str] = str) -> None:
    """Poll until `check` holds; after `seconds` tell what was awaited and what `blame` knows."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise LabError(f"{what} took longer than {seconds:.0f} s\n{blame()}".rstrip())
        time.sleep(0.2)


def run(command: Iterable[str | Path], text: str | None = None) -> str:
    """Run a command to its end and return its output; an error carries what the command said."""
    argv = [str(part) for part in command]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"`{' '.join(argv)}` failed ({done.returncode}): {(done.stderr or done.stdout).strip()[-3000:]}")
    return done.stdout
