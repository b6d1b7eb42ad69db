"""A validator is restored from a back-up, level at once or from the others, and never seals beside itself."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chain.nodes import geth, layout, local
from chain.nodes.consensus.sealing import RESTORED
from chain.nodes.consensus.view import view
from chain.nodes.description import load, parse, save
from chain.nodes.line import IpcLine
from chain.nodes.render import network_yaml
from chain.ports import free_ports
from cli.main import cli
from tests.chain.nodes.processes import wait_for

pytestmark = pytest.mark.engine


def _ocx(*words: object) -> Result:
    environment = {"OCX_PASSPHRASE": "correct horse"}
    return CliRunner().invoke(cli, ["network", *map(str, words)], env=environment)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three validators."""
    here = tmp_path_factory.mktemp("three")
    layout.found(here, 3, spaces=False, now=int(time.time()))
    local.start(here, while_pid=os.getpid())
    local.wait_until(here, lambda found: found.good and (found.height or 0) > 3)
    yield here
    local.stop(here)


def _home(folder: Path, name: str = "v3") -> Path:
    return folder / "nodes" / name


def _sealed_by_v3(folder: Path, after: int) -> bool:
    own = load(layout.description_path(folder)).node("v3").address.lower()
    with IpcLine(_home(folder, "v1") / geth.IPC) as line:
        head = int(line.call("eth_blockNumber"), 16)
        return any(line.call("clique_getSigner", hex(n)).lower() == own for n in range(after + 1, head + 1))


def _elsewhere(folder: Path) -> None:
    """Ports of its own, as on another machine, since the original has those of network.yaml."""
    path = layout.description_path(folder)
    ports = free_ports()
    changed = load(path).model_dump(mode="json")
    changed["validators"][2] |= {"p2p_port": next(ports), "rpc_port": next(ports)}
    save(path, network_yaml(parse(changed)))


def test_beside_its_running_original_it_does_not_seal_and_when_that_is_gone_it_does(
    three: Path, tmp_path: Path
) -> None:
    file = tmp_path / "v3.backup"
    assert _ocx("backup", "v3", "--dir", three, "--out", file).exit_code == 0
    assert _ocx("restore", file, "--dir", tmp_path / "new").exit_code == 0
    _elsewhere(tmp_path / "new")
    description = load(layout.description_path(three))
    # v1 lets the original go, or the copy could not connect: one peer of each key is all a node takes.
    for near, far in (("v1", "v3"), ("v3", "v1")):
        with IpcLine(_home(three, near) / geth.IPC) as line:
            line.call("admin_removePeer", description.node(far).enode)
    local.start(tmp_path / "new", while_pid=os.getpid())
    try:
        copy = _home(tmp_path / "new")
        wait_for(lambda: (copy / geth.IPC).exists() and view(copy).number > 5, "the copy to follow", 120)
        note = "does not seal: another node seals with its key"
        local.wait_until(
            tmp_path / "new", lambda found: found.nodes[0].finding == note, timeout=120, what="warned"
        )
        start = view(copy).number
        wait_for(lambda: view(copy).number > start + 7, "blocks enough for all to have sealed twice", 120)
        assert not view(copy).seals and (copy / RESTORED).exists()
        assert view(_home(three)).seals

        local.ask_keeper(three, "stop", ["v3"])
        stopped = view(_home(three, "v1")).number + 1
        wait_for(lambda: not (copy / RESTORED).exists(), "the key to be idle", 120)
        wait_for(lambda: _sealed_by_v3(three, stopped), "a block by the copy", 120)
    finally:
        local.stop(tmp_path / "new")
        local.start(three)


def test_with_the_chain_it_is_where_it_was(three: Path, tmp_path: Path) -> None:
    local.wait_until(three, lambda found: found.good)
    running = _ocx("backup", "v3", "--dir", three, "--out", tmp_path / "no", "--with-chain")
    assert running.exit_code == 1 and "node v3 runs" in running.stderr
    assert _ocx("stop", "v3", "--dir", three).exit_code == 0
    height = view(_home(three, "v1")).number - 3
    done = _ocx("backup", "v3", "--dir", three, "--out", tmp_path / "file", "--with-chain")
    assert done.exit_code == 0, done.output
    shutil.rmtree(_home(three))
    assert _ocx("restore", tmp_path / "file", "--dir", three).exit_code == 0
    local.start(three)
    log = _home(three) / "geth.log"
    found = local.wait_until(three, lambda found: found.good, timeout=120, what="whole again")
    loaded = next(line for line in log.read_text().splitlines() if "Loaded most recent local block" in line)
    assert int(loaded.partition("number=")[2].split()[0].replace(",", "")) >= height > 0
    wait_for(lambda: _sealed_by_v3(three, found.height or 0), "v3 to seal again", 120)
