"""The hosts themselves: apart from each other and from this machine, and gone with their maker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chain.nodes.processes import wait_for
from tests.network.ansible.hosts import Hosts

_NAMES = ("north", "south")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Two of them."""
    with Hosts(tmp_path_factory.mktemp("hosts"), _NAMES) as running:
        yield running


def _on(hosts: Hosts, name: str, command: str) -> str:
    words = ["ssh", *hosts.ssh_arguments(), "-o", "BatchMode=yes", f"root@{hosts.address(name)}", command]
    done = hosts.run_at_desk(words)
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


def test_hosts_share_neither_files_nor_processes_nor_addresses(hosts: Hosts) -> None:
    _on(hosts, "north", "mkdir -p /etc/ocx /var/lib/ocx && touch /etc/ocx/mark /var/lib/ocx/mark /run/mark")
    _on(hosts, "north", "useradd somebody; nohup sleep 271828 >/dev/null 2>&1 &")
    assert _on(hosts, "south", "ls /etc/ocx /var/lib/ocx /run/mark 2>&1 | grep -c mark$ || true") == "0"
    assert _on(hosts, "south", "getent passwd somebody || echo none") == "none"
    assert _on(hosts, "south", "pgrep -f 'sleep [2]71828' || echo none") == "none"
    shown = [json.loads(_on(hosts, name, "ip -json -4 address")) for name in _NAMES]
    places = [{a["local"] for link in found for a in link["addr_info"]} - {"127.0.0.1"} for found in shown]
    assert places == [{hosts.address("north")}, {hosts.address("south")}]
    assert not Path("/etc/ocx/mark").exists() and not Path("/var/lib/ocx/mark").exists()


def test_nothing_is_left_when_their_maker_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from tests.network.ansible.hosts import Hosts\n"
        "with Hosts(pathlib.Path(sys.argv[1]), ['lone']) as hosts:\n"
        "    print(hosts.hosts[0]['pid'], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as maker:
        assert maker.stdout is not None
        first = int(maker.stdout.readline())
        space = os.readlink(f"/proc/{first}/ns/net")
        assert space != os.readlink("/proc/self/ns/net")
        maker.send_signal(signal.SIGKILL)
    wait_for(lambda: not _in_space(space), "the end of every process of the host")


def _in_space(space: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found += [int(entry.parts[2])] if os.readlink(entry) == space else []
        except OSError:
            continue
    return found
