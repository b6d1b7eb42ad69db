"""The module `ocx_process` and `ocx-supervise`: services on hosts without systemd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chain.data import data_path

ROLE = data_path("ansible") / "roles" / "ocx"
MODULE = ROLE / "library" / "ocx_process.py"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="services of other users need root")


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


@dataclass
class Host:
    """A folder that stands for a host."""

    folder: Path

    def asks(self, state: str = "started", fingerprint: str = "1", **more: Any) -> dict[str, Any]:
        """Run the module as Ansible does; its answer."""
        script = f"echo $$ >{self.folder}/pid; exec sleep 600"
        arguments = {
            "name": "ocx-test",
            "state": state,
            "command": ["sh", "-c", script],
            "fingerprint": fingerprint,
            "supervisor": str(self.folder / "ocx-supervise"),
            "folder": str(self.folder / "run"),
            "log": str(self.folder / "log" / "ocx-test.log"),
            "record": str(self.folder / "record"),
            **more,
        }
        done = subprocess.run(
            [sys.executable, MODULE],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            env={**os.environ, "_ANSIBLE_PROFILE": "legacy"},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    @property
    def pid(self) -> int:
        """The program's process, once it has told."""
        until(lambda: (self.folder / "pid").exists() and bool((self.folder / "pid").read_text().strip()))
        return int((self.folder / "pid").read_text())

    def restarted(self, before: int) -> bool:
        """Whether the program is another process than before."""
        return (self.folder / "pid").read_text().strip() not in ("", str(before))


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host without services; what is left at the end is ended."""
    script = tmp_path / "ocx-supervise"
    script.write_bytes((ROLE / "files" / "ocx-supervise").read_bytes())
    script.chmod(0o755)
    found = Host(tmp_path)
    yield found
    found.asks("absent")


def test_it_starts_a_service_once(host: Host) -> None:
    first, pid = host.asks(), host.pid
    again = host.asks()
    assert (first["changed"], again["changed"]) == (True, False)
    assert first["pid"] == again["pid"] and host.pid == pid and alive(pid)


def test_what_it_was_started_with_decides_whether_it_is_started_anew(host: Host) -> None:
    host.asks()
    pid = host.pid
    assert host.asks(fingerprint="2")["changed"]
    assert not alive(pid)
    until(lambda: host.restarted(pid))
    assert not host.asks(fingerprint="2")["changed"]


def test_what_dies_is_started_again(host: Host) -> None:
    host.asks()
    pid = host.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: host.restarted(pid))
    assert alive(host.pid) and not host.asks()["changed"]


def test_a_supervisor_that_was_killed_is_noticed(host: Host) -> None:
    os.killpg(host.asks()["pid"], signal.SIGKILL)
    assert host.asks()["changed"]


def test_absent_ends_it_and_forgets_it(host: Host) -> None:
    supervisor, pid = host.asks()["pid"], host.pid
    assert host.asks("absent")["changed"]
    assert not alive(pid) and not alive(supervisor) and not (host.folder / "record").exists()
    assert not host.asks("absent")["changed"]


def test_a_program_that_will_not_end_is_killed(host: Host) -> None:
    stubborn = f"trap '' TERM; echo $$ >{host.folder}/pid; while :; do sleep 1; done"
    host.asks(command=["sh", "-c", stubborn])
    pid = host.pid
    host.asks("absent", stop_seconds=1)
    until(lambda: not alive(pid))


def test_check_mode_tells_and_does_nothing(host: Host) -> None:
    answer = host.asks(_ansible_check_mode=True)
    assert (answer["changed"], answer["pid"]) == (True, 0) and not (host.folder / "record").exists()
    pid = host.asks()["pid"]
    assert host.asks("absent", _ansible_check_mode=True)["changed"] and alive(pid)


def test_it_runs_as_the_user_that_was_named(host: Host) -> None:
    host.asks(user="nobody", command=["sh", "-c", "id -un; exec sleep 600"])
    log = host.folder / "log" / "ocx-test.log"
    until(lambda: log.read_text() == "nobody\n")
