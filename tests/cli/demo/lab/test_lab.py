"""Nothing of a lab outlives it, whatever ends it; its machines follow their power switch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.demo.lab import Lab
from cli.demo.lab.agent import IMAGE, erase
from cli.demo.lab.farm import FarmConfig, Machine
from cli.demo.lab.service import free_ports
from market.errors import Permanent
from provisioner.guest import Guest, write_config
from provisioner.keeper import tree_below


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def start(directory: Path) -> subprocess.Popen[bytes]:
    """A lab without machines, as a command."""
    command = [sys.executable, "-m", "cli.demo.lab", "--machines", "0", "--dir", str(directory)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def gone(pids: set[int]) -> bool:
    """True when none of the processes is left."""
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.lab
def test_a_lab_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    with start(tmp_path) as lab:
        until(lambda: (tmp_path / "lab.json").exists() or lab.poll() is not None)
        below = tree_below(lab.pid)
        assert len(below) >= 7, "three keepers, the farm, the BMCs, Ironic and its worker"
        lab.kill()
    until(lambda: gone(below))


@pytest.mark.lab
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_lab_can_be_stopped_while_it_starts(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path) as lab:
        until(lambda: (tmp_path / "ironic.out").exists())
        below = tree_below(lab.pid)
        lab.send_signal(number)
        assert lab.wait(30) == 0
    until(lambda: gone(below))
    assert not (tmp_path / "lab.json").exists()


def test_a_missing_environment_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCX_LAB_VENV", str(tmp_path / "nowhere"))
    with pytest.raises(Permanent, match="make setup"), Lab(tmp_path / "lab"):
        pass


def test_a_machine_follows_its_power_switch(tmp_path: Path) -> None:
    ports, identity = free_ports(), str(uuid.uuid4())
    entry = {"uuid": identity, "macs": [], "address": "127.0.0.1"}
    entry |= {"ssh_port": next(ports), "http_port": next(ports)}
    config = FarmConfig(0, "", "", "", "", "", str(tmp_path), [entry])
    machine = Machine(config, entry)
    guest = Guest(machine.disk, entry["ssh_port"], entry["http_port"])
    on, off = ({"power_state": state, "boot_device": "Hdd"} for state in ("On", "Off"))

    others = tree_below(os.getpid())
    machine.follow(on)
    assert not guest.is_on(), "an empty disk boots nothing"
    machine.follow(off)
    write_config(machine.disk, {"hostname": "a", "public_keys": {}})
    (machine.disk / IMAGE).write_bytes(b"an operating system")
    machine.follow(on)
    until(guest.answers)
    below = tree_below(os.getpid()) - others
    machine.follow(on)
    assert below and tree_below(os.getpid()) - others <= below, "it is on already"
    machine.follow(off)
    until(lambda: gone(below))
    erase(machine.disk)
    assert list(machine.disk.iterdir()) == []
