"""When a node looks at other branches, and that one which was killed over it has its blocks again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from chain.nodes import geth, layout, local
from chain.nodes.consensus.scout import BRANCH, Scout
from chain.nodes.consensus.view import View, view
from chain.nodes.description import load
from chain.nodes.line import IpcLine
from chain.wire import RpcUnreachable
from tests.chain.nodes.founding import description
from tests.chain.nodes.processes import alive_in, wait_for

ADDRESSES = [node.address.lower() for node in description().nodes]


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _view(head: str = "0xa", peers: int = 3) -> View:
    return View(
        number=9,
        hash=head,
        weight=18,
        time=0,
        signers=frozenset(ADDRESSES),
        peers=frozenset(ADDRESSES[1 : 1 + peers]),
        seals=True,
        syncing=False,
    )


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def scout(tmp_path: Path, clock: _Clock) -> Scout:
    """Of a node that does not run: trying to look is an error."""
    scout = Scout(tmp_path, description().nodes[0], patience=7.0, clock=clock, chance=lambda: 0.5)
    scout.look(_view(), set())
    return scout


def test_it_looks_once_the_chain_has_stood_for_its_own_time(scout: Scout, clock: _Clock) -> None:
    clock.now = 11.9
    assert not scout.look(_view(), set())
    clock.now = 12.1
    with pytest.raises(RpcUnreachable):
        scout.look(_view(), set())


@pytest.mark.parametrize(
    ("seen", "here"),
    [(_view("0xb"), 1), (_view(peers=1), 1), (_view(), 3)],
    ids=["moves", "split", "its keeper sees a quorum"],
)
def test_it_does_not_look_while_the_chain(scout: Scout, clock: _Clock, seen: View, here: int) -> None:
    for clock.now in (10, 20, 30):
        head = seen.hash if seen.hash == "0xa" else f"{seen.hash}{clock.now}"
        assert not scout.look(_view(head, len(seen.peers)), set(ADDRESSES[:here]))


@pytest.mark.engine
def test_killed_while_it_looks_it_has_its_own_blocks_again(tmp_path: Path) -> None:
    layout.found(tmp_path, 1, spaces=False, now=int(time.time()))
    local.start(tmp_path, while_pid=os.getpid())
    try:
        home = layout.node_folder(tmp_path, load(layout.description_path(tmp_path)).nodes[0])
        local.wait_until(tmp_path, lambda found: (found.height or 0) >= 4)
        keeper = next(pid for pid, what in alive_in(tmp_path).items() if "keeper" in what)
        os.kill(keeper, signal.SIGSTOP)
        with IpcLine(home / geth.IPC) as line:
            line.call("miner_stop")
            before = view(home)
            line.call("admin_exportChain", str(home / BRANCH), before.number - 1, before.number)
            line.call("debug_setHead", hex(before.number - 2))
        os.kill(keeper, signal.SIGKILL)
        wait_for(lambda: not alive_in(tmp_path), "the end of every process")
        local.start(tmp_path, while_pid=os.getpid())
        local.wait_until(tmp_path, lambda found: (found.height or 0) > before.number)
        with IpcLine(home / geth.IPC) as line:
            again = line.call("eth_getBlockByNumber", hex(before.number), False)
        assert again["hash"] == before.hash and not (home / BRANCH).exists()
    finally:
        local.stop(tmp_path)
