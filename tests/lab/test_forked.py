"""Programs as forks: what a test sees of them is what it would see of a program that was started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from gateway_operator import __version__
from tests import forked

ROLE = "gateway_operator.errors"  # imports next to nothing


def run(folder, *arguments, **env):
    """Run a program; returns it and the file that it writes to."""
    with (folder / "log").open("wb") as log:
        return forked.program(ROLE, arguments, env={**os.environ, **env}, log=log, cwd=folder), folder / "log"


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["version"], {}, __version__),
        (["run", "--no-such-flag"], {}, "No such option"),
        (["run", "--config", "absent.yaml"], {}, "absent.yaml"),
        (["run"], {"GATEWAY_OPERATOR_LOG_LEVEL": "loud"}, "log_level"),
    ],
    ids=["well", "wrong-use", "no-file", "bad-environment"],
)
def test_output_and_exit_code_are_those_of_a_start(tmp_path, arguments, env, said):
    """Arguments, environment and folder decide them."""
    env = {"NO_COLOR": "1", **env}
    fork, log = run(tmp_path, *arguments, **env)
    started = subprocess.run(
        [sys.executable, "-m", "gateway_operator", *arguments],
        cwd=tmp_path,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert fork.wait(60) == started.returncode
    assert log.read_bytes() == started.stdout
    assert said in started.stdout.decode()


def test_signals_reach_a_fork(tmp_path):
    """It runs in a session of its own until a signal ends it, and says which one did."""
    os.mkfifo(tmp_path / "config.yaml")
    fork, log = run(tmp_path, "run", "--config", "config.yaml")  # blocks until somebody writes
    assert fork.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.1)
    assert os.getsid(fork.pid) == fork.pid
    fork.send_signal(signal.SIGTERM)
    assert fork.wait(60) == -signal.SIGTERM
    fork.kill()  # which is none of its business any more
    assert log.read_bytes() == b""
