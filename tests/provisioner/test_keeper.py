"""Nothing a keeper started outlives it, or the process it belongs to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

KEEPER = [sys.executable, "-m", "provisioner.keeper"]
DAEMON = "setsid sh -c 'setsid sleep 600 & echo $! >{0}; wait' & wait"


def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def written(path: Path) -> bool:
    """True once the file has a line."""
    return path.exists() and path.read_text().endswith("\n")


def alive(path: Path) -> bool:
    """True while the process whose id is in the file is there, as a zombie too."""
    return Path(f"/proc/{path.read_text().strip()}").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_daemons_in_sessions_of_their_own(tmp_path: Path, number: signal.Signals) -> None:
    pid = tmp_path / "pid"
    with subprocess.Popen([*KEEPER, "--", "sh", "-c", DAEMON.format(pid)]) as keeper:
        until(lambda: written(pid))
        keeper.send_signal(number)
        assert keeper.wait(15) == 143
    until(lambda: not alive(pid))


def test_it_ends_with_the_process_it_belongs_to_even_if_that_is_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with subprocess.Popen(["sleep", "600"]) as owner:
        command = [*KEEPER, "--while-pid", str(owner.pid), "--", "sh", "-c", DAEMON.format(pid)]
        with subprocess.Popen(command) as keeper:
            until(lambda: written(pid))
            owner.kill()
            assert keeper.wait(15) == 143
    until(lambda: not alive(pid))


def test_it_does_not_start_for_a_process_that_is_gone(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as owner:
        owner.wait()
    command = [*KEEPER, "--while-pid", str(owner.pid), "--", "sleep", "600"]
    assert subprocess.run(command, timeout=15, check=False).returncode == 143


def test_the_exit_code_is_the_commands_and_what_it_left_behind_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"setsid sleep 600 & echo $! >{pid}; exit 7"
    assert subprocess.run([*KEEPER, "--", "sh", "-c", script], timeout=15, check=False).returncode == 7
    assert not alive(pid)


def test_told_to_spare_it_leaves_what_a_command_left_behind_that_ended_itself(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"setsid sleep 600 & echo $! >{pid}; exit 7"
    command = [*KEEPER, "--spare", "--", "sh", "-c", script]
    assert subprocess.run(command, timeout=15, check=False).returncode == 7
    assert alive(pid)
    os.kill(int(pid.read_text()), signal.SIGKILL)


def test_told_to_spare_it_still_ends_everything_when_it_is_stopped(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with subprocess.Popen([*KEEPER, "--spare", "--", "sh", "-c", DAEMON.format(pid)]) as keeper:
        until(lambda: written(pid))
        keeper.terminate()
        assert keeper.wait(15) == 143
    until(lambda: not alive(pid))
