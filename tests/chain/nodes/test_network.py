"""A real network of four validators on loopback: it goes on, takes back who was away, lets nobody else in."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.nodes import geth, layout, local, render
from chain.nodes.consensus.untie import heads
from chain.nodes.description import NetworkDescription, Node, load, parse, save
from chain.nodes.engine import find_engine
from chain.nodes.line import IpcLine
from chain.nodes.status import NetworkStatus
from chain.ports import free_ports
from chain.rpc import Rpc
from chain.sender import Sender
from tests.chain.network import LIMIT, TILL, die_with_parent, wallet
from tests.chain.nodes.processes import alive_in, wait_for

pytestmark = pytest.mark.engine


def _linked(found: NetworkStatus) -> bool:
    return found.good and all(len(node.peers) == len(found.nodes) - 1 for node in found.nodes)


def _height(folder: Path) -> int:
    return local.status(folder).height or 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Four validators that know one another."""
    here = tmp_path_factory.mktemp("network")
    layout.found(here, 4, spaces=False, now=int(time.time()), slot=10)
    local.start(here, while_pid=os.getpid())
    local.wait_until(here, lambda found: _linked(found) and (found.height or 0) > 0)
    yield here
    local.stop(here)


@pytest.fixture
def four(folder: Path) -> Path:
    """The same, all of them up and level again whatever the test before did."""
    local.start(folder, while_pid=os.getpid())
    local.wait_until(folder, _linked)
    return folder


def test_blocks_go_on_and_every_validator_seals_some(four: Path) -> None:
    found = local.wait_until(
        four, lambda found: all(node.sealed for node in found.nodes), what="sealed by all"
    )
    assert sorted(found.validators) == ["v1", "v2", "v3", "v4"]
    assert (found.quorum, found.missing, found.goes_on) == (3, (), True)
    assert found.head_age is not None and found.head_age < 10


def test_who_has_no_money_deploys_through_any_node_and_all_see_it(four: Path) -> None:
    till = _deploy(four, 7)
    for node in load(layout.description_path(four)).nodes:
        rpc = Rpc.for_deployment([node.rpc_url])
        wait_for(lambda rpc=rpc: rpc.get_code(till) != b"", "the contract everywhere")
        assert rpc.balance(wallet(7).address) == 0


def test_json_rpc_governs_nothing(four: Path) -> None:
    [url] = [node.rpc_url for node in load(layout.description_path(four)).nodes[:1]]
    modules = Rpc.for_deployment([url]).call("rpc_modules")
    assert sorted(modules) == ["eth", "net", "rpc", "web3"]


def test_without_one_of_four_blocks_go_on_and_it_catches_up(four: Path) -> None:
    pid = local.ask_keeper(four, "status")["v2"]["pid"]
    os.kill(pid, signal.SIGKILL)
    start = _height(four)
    found = local.wait_until(four, lambda found: (found.height or 0) >= start + 4, what="4 blocks further")
    assert found.missing == ("v2",) and found.goes_on and not found.good
    assert "v2 is ended by itself (-9)" in found.summary
    assert [node.height for node in found.nodes if node.name == "v2"] == [None]
    local.start(four)
    back = local.wait_until(four, _linked, what="whole again")
    assert (back.height or 0) >= start + 4


def test_all_killed_with_their_keeper_leave_nothing_and_go_on_from_the_same_blocks(four: Path) -> None:
    till = _deploy(four, 8)
    height = _height(four)
    local.wait_until(four, lambda found: (found.height or 0) >= height + 4, what="4 blocks further")
    first = load(layout.description_path(four)).nodes[0]
    before = Rpc.for_deployment([first.rpc_url]).block(height)
    pids = alive_in(four)
    assert len(pids) == 5
    os.kill(next(pid for pid, what in pids.items() if "keeper" in what), signal.SIGKILL)
    wait_for(lambda: not alive_in(four), "the end of every process")
    assert not local.is_kept(four) and not local.status(four).goes_on
    local.start(four, while_pid=os.getpid())
    found = local.wait_until(four, lambda found: _linked(found) and (found.height or 0) > height + 3)
    assert found.good
    rpc = Rpc.for_deployment([first.rpc_url])
    assert rpc.block(height).hash == before.hash
    assert rpc.get_code(till, height) != b""


def _stands(folder: Path) -> bool:
    """Whether no node's head moves for three block times."""
    homes = {
        node.name: layout.node_folder(folder, node) for node in load(layout.description_path(folder)).nodes
    }
    before = heads(homes)
    time.sleep(3)
    return heads(homes) == before


def _link(folder: Path, halves: tuple[tuple[str, ...], tuple[str, ...]], up: bool) -> None:
    """Have every node of one half know those of the other, or know them no more."""
    description = load(layout.description_path(folder))
    for near, far in (halves, halves[::-1]):
        for name in near:
            with IpcLine(layout.node_folder(folder, description.node(name)) / geth.IPC) as line:
                for enode in (description.node(other).enode for other in far):
                    line.call("admin_addTrustedPeer" if up else "admin_removeTrustedPeer", enode)
                    line.call("admin_addPeer" if up else "admin_removePeer", enode)


def test_a_fifth_node_is_turned_away_until_one_names_it(four: Path, tmp_path: Path) -> None:
    """It has the genesis block and everybody's address; they have a place free, but do not name it."""
    description = load(layout.description_path(four))
    stranger = _stranger(description, tmp_path)
    v1, outside = layout.node_folder(four, description.nodes[0]), layout.node_folder(tmp_path, stranger)
    local.ask_keeper(four, "stop", ["v4"])
    local.wait_until(
        four, lambda found: all(len(node.peers) == 2 for node in found.nodes[:3]), what="without v4"
    )
    with _running(stranger, outside):
        log = outside / "geth.log"
        wait_for(lambda: log.read_bytes().count(b"too many peers") >= 3, "all three to turn it away")
        start = _height(four)
        local.wait_until(four, lambda found: (found.height or 0) >= start + 3, what="3 blocks further")
        assert all(len(node.peers) == 2 for node in local.status(four).nodes[:3])
        [alone] = local.status(tmp_path).nodes
        assert (alone.height, alone.peers) == (0, ())
    with IpcLine(v1 / geth.IPC) as line:
        line.call("admin_addTrustedPeer", stranger.enode)
    with _running(stranger, outside):
        found = local.wait_until(tmp_path, lambda found: (found.height or 0) >= start, what="let in")
        assert found.nodes[0].peers == ("v1",)
    with IpcLine(v1 / geth.IPC) as line:
        line.call("admin_removeTrustedPeer", stranger.enode)


def test_a_split_down_the_middle_stands_and_heals_even_where_halves_tie(
    four: Path,
) -> None:
    """Each half can seal two blocks at most; equal ones end in a tie that geth alone never leaves."""
    halves = (("v1", "v2"), ("v3", "v4"))
    _link(four, halves, False)
    local.wait_until(four, lambda found: all(len(node.peers) == 1 for node in found.nodes), what="split")
    start = _height(four)
    wait_for(lambda: _stands(four), "both halves to stand")
    assert _height(four) <= start + 2
    _link(four, halves, True)
    found = local.wait_until(
        four, lambda found: _linked(found) and (found.height or 0) >= start + 4, timeout=90
    )
    assert found.good


def _deploy(folder: Path, number: int) -> str:
    """A contract, sent through the first node by an account that has nothing; its address."""
    url = load(layout.description_path(folder)).nodes[0].rpc_url
    sender = Sender(Rpc.for_deployment([url]), wallet(number), folder / f"sender {number}")
    receipt = sender.send(None, TILL.encode_deploy([LIMIT]))
    sender.close()
    assert receipt.contract_address is not None
    return receipt.contract_address


def _stranger(description: NetworkDescription, folder: Path) -> Node:
    """A folder of its own with one more node in its description; nobody else has that description."""
    key = layout.keys.create(folder / "nodes" / "x")
    ports = free_ports()
    stranger = Node(
        name="x",
        organisation="nobody",
        address=key.address,
        public_key=key.public_key.hex(),
        host="127.0.0.1",
        p2p_port=next(ports),
        rpc_port=next(ports),
    )
    theirs = parse(description.model_dump() | {"followers": [stranger.model_dump()]})
    save(layout.description_path(folder), render.network_yaml(theirs))
    layout.write_files(folder)
    return stranger


@contextlib.contextmanager
def _running(node: Node, folder: Path) -> Iterator[None]:
    """One node without a keeper, whose log tells what becomes of every call it makes."""
    engine = find_engine()
    subprocess.run(geth.init_command(engine), cwd=folder, check=True, capture_output=True)
    command = [*geth.run_command(engine, node.address), "--verbosity", "5"]
    with (folder / "geth.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, preexec_fn=die_with_parent)
    try:
        wait_for(lambda: (folder / geth.IPC).exists() or process.poll(), "the stranger's socket")
        yield
    finally:
        process.kill()
        process.wait()
