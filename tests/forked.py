"""Programs of ours as forks of a process that has imported them: imports are two seconds of processor of every start.

Command line, environment, folder, output, signals and exit code are those of a program that was started for real;
tests of that start, and benchmarks, don't come here. One nursery a role and test process, since no role has another's
modules.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

PROGRAM = "gateway_operator"
OPERATOR, CONTROLLER = f"{PROGRAM}.app", f"{PROGRAM}.ingress.main"  # what a role imports once it has begun
_MESSAGE = 1 << 20  # bytes: arguments and environment
_NURSERIES: dict[str, Nursery] = {}
_ONE_AT_A_TIME = threading.Lock()


def program(
    role: str, arguments: Sequence[str], *, env: Mapping[str, str], log: IO[bytes], cwd: Path | None = None
) -> Fork:
    """Run `python -m gateway_operator ARGUMENTS`, which imports the module `role`, in a session of its own."""
    with _ONE_AT_A_TIME:
        if role not in _NURSERIES:
            _NURSERIES[role] = Nursery(role)
        return _NURSERIES[role].fork(arguments, env, log, cwd or Path.cwd())


class Fork:
    """A process, with what tests use of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], pid: int, told: int) -> None:
        """Take the end of a pipe that the exit code will come out of."""
        self.args = arguments
        self.pid = pid
        self.returncode: int | None = None
        self._told = told
        self._reading = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code; raises subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ends this moment
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _look(self, seconds: float | None) -> int | None:
        if self.returncode is None and _readable(self._told, seconds):
            with self._reading:  # another thread may have done it
                if self.returncode is None:
                    text = os.read(self._told, 16)
                    os.close(self._told)
                    self.returncode = int(text or -signal.SIGKILL)  # a nursery that was killed says nothing
        return self.returncode


class Nursery:
    """The process that forks, as its owner sees it; its forks end with it, and it ends with its owner."""

    def __init__(self, role: str) -> None:
        """Start it, and wait for its imports."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._channel, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MESSAGE)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), role],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        assert self._channel.recv(16) == b"ready", f"no nursery of {role}"

    def fork(self, arguments: Sequence[str], env: Mapping[str, str], log: IO[bytes], cwd: Path) -> Fork:
        """Have a process made whose stdout and stderr are `log`."""
        request = {"arguments": list(arguments), "env": dict(env), "cwd": str(cwd)}
        told, tells = os.pipe()
        try:
            socket.send_fds(self._channel, [json.dumps(request).encode()], [log.fileno(), tells])
        finally:
            os.close(tells)
        return Fork(arguments, int(self._channel.recv(16)), told)

    def close(self) -> None:
        """End it and its forks."""
        self._channel.close()
        self._process.wait()


def close_all() -> None:
    """End all nurseries of this process."""
    with _ONE_AT_A_TIME:
        while _NURSERIES:
            _NURSERIES.popitem()[1].close()


class _Server:
    """The other side of a Nursery."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._forks: dict[int, tuple[int, int]] = {}  # by pidfd: pid, and the pipe that takes the exit code

    def serve(self) -> dict[str, Any] | None:
        """Fork on request until the owner is gone; in a fork, return what it shall be."""
        while True:
            waiting = select.poll()
            for fd in (self._channel.fileno(), *self._forks):
                waiting.register(fd, select.POLLIN)
            for fd, _ in waiting.poll():
                if fd in self._forks:
                    self._bury(fd)
                    continue
                text, fds, _, _ = socket.recv_fds(self._channel, _MESSAGE, 2)
                if not text:
                    self._end()
                    return None
                if (request := self._fork(json.loads(text), *fds)) is not None:
                    return request

    def _fork(self, request: dict[str, Any], log: int, tells: int) -> dict[str, Any] | None:
        pid = os.fork()
        if pid:
            os.close(log)
            self._forks[os.pidfd_open(pid)] = (pid, tells)
            self._channel.send(b"%d" % pid)
            return None
        os.setsid()
        for number in (1, 2):
            os.dup2(log, number)
        self._channel.close()
        for fd in (log, tells, *self._forks, *(pipe for _, pipe in self._forks.values())):
            os.close(fd)
        return request

    def _bury(self, pidfd: int) -> None:
        pid, tells = self._forks.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(BrokenPipeError):  # a test may not want to know
            os.write(tells, b"%d" % os.waitstatus_to_exitcode(status))
        os.close(tells)
        os.close(pidfd)

    def _end(self) -> None:
        for pidfd, (pid, _) in list(self._forks.items()):
            os.kill(pid, signal.SIGKILL)
            self._bury(pidfd)


def _readable(fd: int, seconds: float | None) -> bool:
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    return bool(waiting.poll(None if seconds is None else seconds * 1000))


def main(channel: int, role: str) -> None:
    """Be a nursery, and in a fork be the program."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as `-m` has it, and not the folder of the tests
    for name in (f"{PROGRAM}.cli", role):
        importlib.import_module(name)
    assert threading.active_count() == 1, "only a process of one thread may fork"
    gc.collect()
    gc.freeze()  # or the first collection of each fork would copy every page
    link = socket.socket(fileno=channel)
    link.send(b"ready")
    request = _Server(link).serve()
    if request is None:
        return
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv[1:] = request["arguments"]
    runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
