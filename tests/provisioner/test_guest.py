"""A guest boots from its disk, is alone on it, and ends as a whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo.lab.service import free_ports
from market.errors import Temporary
from provisioner.guest import Guest, host_key, write_config
from provisioner.keeper import tree_below


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    """A machine that is off, with a config drive."""
    ports = free_ports()
    machine = Guest(tmp_path, next(ports), next(ports))
    write_config(tmp_path, {"hostname": "wonder", "uuid": "u-1", "public_keys": {"a": "ssh-ed25519 AAAA"}})
    yield machine
    machine.power_off()


def test_the_host_key_is_born_at_the_first_boot_and_stays(guest: Guest) -> None:
    assert host_key(guest.disk) is None
    guest.power_on(while_pid=os.getpid())
    born = host_key(guest.disk)
    guest.power_off()
    assert not guest.is_on() and not guest.answers()
    guest.power_on(while_pid=os.getpid())
    assert born is not None and host_key(guest.disk) == born


def test_the_web_page_says_who_it_is(guest: Guest) -> None:
    guest.power_on(while_pid=os.getpid())
    with urllib.request.urlopen(f"http://{guest.host}:{guest.http_port}/", timeout=5) as page:
        facts = json.load(page)
    assert facts == {"hostname": "wonder", "uuid": "u-1", "host_key": host_key(guest.disk)}


def test_only_one_guest_holds_a_disk(guest: Guest) -> None:
    guest.power_on(while_pid=os.getpid())
    pid = (guest.disk / "lock").read_text()
    guest.power_on(while_pid=os.getpid())
    assert (guest.disk / "lock").read_text() == pid
    argv = [sys.executable, "-m", "provisioner.guest", "--disk", str(guest.disk)]
    second = subprocess.run([*argv, "--ssh-port", "1", "--http-port", "1"], timeout=30, check=False)
    assert second.returncode == 75


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_of_a_guest_outlives_it(guest: Guest, number: signal.Signals) -> None:
    guest.power_on(while_pid=os.getpid())
    pid = int((guest.disk / "lock").read_text())
    below = tree_below(pid)
    assert below
    os.kill(pid, number)
    deadline = time.monotonic() + 10
    while guest.is_on() or any(Path(f"/proc/{child}").exists() for child in below):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_guest_does_not_inherit_the_providers_secrets(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCX_PASSPHRASE", "correct horse")
    guest.power_on(while_pid=os.getpid())
    pid = (guest.disk / "lock").read_text()
    assert b"correct horse" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_guest_without_a_config_drive_says_why_it_does_not_boot(tmp_path: Path) -> None:
    ports = free_ports()
    with pytest.raises(Temporary, match=r"meta_data\.json"):
        Guest(tmp_path, next(ports), next(ports)).power_on(while_pid=os.getpid())
