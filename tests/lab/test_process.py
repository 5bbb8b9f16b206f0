"""Daemons: found again by pid and start time, ended politely and then not, and never mistaken for others."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lab.errors import LabError
from lab.process import Daemons, run, start_time, wait_for


@pytest.fixture
def daemons(tmp_path):
    """A folder of daemons that are ended with the test."""
    found = Daemons(tmp_path)
    yield found
    found.stop_all(kill=True)


def test_another_object_finds_the_daemon(daemons, tmp_path):
    """A daemon is known by its files, not by the object that started it."""
    daemons.start("sleeper", ["sleep", "60"])
    again = Daemons(tmp_path)
    assert again.names() == ["sleeper"]
    assert again.pid("sleeper") == daemons.pid("sleeper")
    again.stop("sleeper")
    assert not daemons.alive("sleeper")


def test_start_is_idempotent(daemons):
    """A daemon that runs is not started twice."""
    daemons.start("sleeper", ["sleep", "60"])
    first = daemons.pid("sleeper")
    daemons.start("sleeper", ["sleep", "60"])
    assert daemons.pid("sleeper") == first


def test_a_reused_pid_is_not_ours(daemons, tmp_path):
    """A pid whose process started at another time belongs to somebody else and is left alone."""
    record = {"pid": os.getpid(), "start": (start_time(os.getpid()) or 0) - 1}
    (tmp_path / "other.pid").write_text(json.dumps(record))
    assert not daemons.alive("other")
    daemons.stop("other", kill=True)
    assert daemons.names() == []


@pytest.mark.parametrize("text", ["", "{", "123"])
def test_a_broken_pid_file_is_no_daemon(daemons, tmp_path, text):
    """What a crash left half written is taken as absent."""
    (tmp_path / "broken.pid").write_text(text)
    assert not daemons.alive("broken")


def test_a_zombie_does_not_run(daemons):
    """A daemon that ended counts as ended before anybody reaped it."""
    daemons.start("short", ["true"])
    wait_for("its end", lambda: not daemons.alive("short"), seconds=60)


def test_a_stubborn_daemon_is_killed(daemons, tmp_path):
    """One that ignores SIGTERM is ended all the same."""
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    daemons.start("stubborn", [sys.executable, "-c", code])
    wait_for("its start", lambda: "on" in daemons.tail("stubborn"), seconds=60)
    daemons.stop("stubborn", patience=0.3)
    assert not daemons.alive("stubborn")


def test_tied_daemons_die_with_their_parent(tmp_path):
    """No orphan stays when a test run is killed."""
    code = (
        "import pathlib, sys, time; from lab.process import Daemons;"
        "Daemons(pathlib.Path(sys.argv[1]), tied=True).start('sleeper', ['sleep', '600']); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    found = Daemons(tmp_path)
    wait_for("the daemon", lambda: found.alive("sleeper"), seconds=60)
    parent.kill()
    parent.wait()
    wait_for("its end", lambda: not found.alive("sleeper"), seconds=60)


def test_waiting_tells_what_was_awaited():
    """An error of patience names the thing and what is known about it."""
    with pytest.raises(LabError, match="(?s)the moon.*it is far"):
        wait_for("the moon", lambda: False, seconds=0.2, blame=lambda: "it is far")


def test_run_tells_what_the_command_said():
    """The error of a failed command carries its words."""
    with pytest.raises(LabError, match="No such file"):
        run(["ls", "/does/not/exist"])
