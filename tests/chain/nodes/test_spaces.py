"""Validators in network namespaces of their own, and a machine that has nothing of it before and after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chain.nodes import local, space
from chain.nodes.description import load
from chain.nodes.layout import description_path
from chain.rpc import Rpc
from cli.main import cli
from tests.chain.nodes.processes import alive_in

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not space.work_here(), reason="only root can make network namespaces"),
]


def _ocx(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def _interfaces() -> set[str]:
    shown = subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout
    return {each["ifname"] for each in json.loads(shown)}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder; what is started in it ends."""
    yield tmp_path / "network"
    local.stop(tmp_path / "network") if (tmp_path / "network").exists() else None


def test_up_status_stop_up(folder: Path) -> None:
    before = _interfaces()
    done = _ocx("network", "up", "--validators", "4", "--dir", folder, "--name", "ours", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["good"] and sorted(found["validators"]) == ["v1", "v2", "v3", "v4"]
    assert all(len(node["peers"]) == 3 for node in found["nodes"])
    assert _interfaces() == before

    description = load(description_path(folder))
    assert [node.host for node in description.nodes] == [f"10.99.0.{n}" for n in (11, 12, 13, 14)]
    pids = [each["pid"] for each in local.ask_keeper(folder, "status").values()]
    spaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in pids}
    assert len(spaces) == 4 and os.readlink("/proc/self/ns/net") not in spaces

    assert Rpc.for_deployment([description.nodes[3].rpc_url]).head().number >= 1

    assert _ocx("network", "stop", "--dir", folder, "v4").exit_code == 0
    lame = _ocx("network", "status", "--dir", folder, "--json")
    assert lame.exit_code == 1 and json.loads(lame.stdout)["missing"] == ["v4"]
    assert "v4 is stopped" in lame.stderr and "ocx network up" in lame.stderr
    wrong = _ocx("network", "up", "--dir", folder, "--validators", "5")
    assert wrong.exit_code == 1 and "founded by 4 validators, not 5" in wrong.stderr

    assert _ocx("network", "up", "--dir", folder).exit_code == 0
    height = local.status(folder).height or 0
    assert _ocx("network", "stop", "--dir", folder).exit_code == 0
    assert alive_in(folder) == {} and _interfaces() == before
    dead = _ocx("network", "status", "--dir", folder)
    assert dead.exit_code == 1 and "no node of ours answers" in dead.stderr

    assert _ocx("network", "up", "--dir", folder).exit_code == 0
    assert (local.status(folder).height or 0) >= height


def test_up_in_the_foreground_ends_with_its_command(folder: Path) -> None:
    command = [str(Path(sys.executable).with_name("ocx")), "network", "up", "--foreground"]
    with subprocess.Popen([*command, "--dir", str(folder), "--validators", "1"]) as process:
        deadline = time.monotonic() + 60
        while not (folder.exists() and local.is_kept(folder) and local.status(folder).height):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        process.terminate()
        assert process.wait(30) == 0
    assert alive_in(folder) == {}
