"""Four keepers in four folders, none of which sees more than its own node, end a tie after a split 2:2."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from chain.nodes import geth, layout, local
from chain.nodes.description import NetworkDescription
from chain.nodes.line import IpcLine
from chain.nodes.view import View, view
from chain.rpc import Rpc
from tests.chain.network import LIMIT, TILL, wallet
from tests.chain.nodes.processes import wait_for

pytestmark = pytest.mark.engine

_TRIES = 4


@dataclass
class Apart:
    """One network, each node in a folder of its own; `names` in the order in which their turns come."""

    description: NetworkDescription
    folders: dict[str, Path]
    names: tuple[str, ...]

    def home(self, name: str) -> Path:
        """A node's folder."""
        return layout.node_folder(self.folders[name], self.description.node(name))

    def views(self) -> dict[str, View]:
        """What each node knows."""
        return {name: view(self.home(name), timeout=20) for name in self.names}

    def link(self, halves: Sequence[Sequence[str]], up: bool) -> None:
        """Have every node of one half know those of the other, or know them no more; all at once."""
        with contextlib.ExitStack() as open_lines:
            lines = {n: open_lines.enter_context(IpcLine(self.home(n) / geth.IPC, 20)) for n in self.names}
            for near, far in (halves, halves[::-1]):
                enodes = [self.description.node(name).enode for name in far]
                what = "add" if up else "remove"
                calls = [
                    (f"admin_{what}{kind}", [enode]) for enode in enodes for kind in ("TrustedPeer", "Peer")
                ]
                for name in near:
                    lines[name].call_many(calls)

    def await_turn(self) -> None:
        """Until the newest block was made by the first or third in turn, and the one before in turn, too.

        Then the half of the next in turn makes one block of weight 2, the other two of weight 1.
        """
        with IpcLine(self.home(self.names[0]) / geth.IPC, 20) as line:

            def in_turn() -> bool:
                head = line.call("eth_getBlockByNumber", "latest", False)
                number = int(head["number"], 16)
                before = line.call("eth_getBlockByNumber", hex(number - 1), False)
                return number % 2 == 0 and head["difficulty"] == before["difficulty"] == "0x2"

            wait_for(in_turn, "blocks in turn", 120)


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Apart]:
    """All four are up and know one another."""
    description = layout.found(tmp_path / "all", 4, spaces=False, now=int(time.time()), block_time=2)
    folders = {}
    for node in description.nodes:
        folder = folders[node.name] = tmp_path / node.name
        shutil.copytree(tmp_path / "all/nodes" / node.name, folder / "nodes" / node.name)
        shutil.copy(tmp_path / "all/network.yaml", folder / "network.yaml")
    order = sorted(description.nodes, key=lambda node: bytes.fromhex(node.address[2:]))
    made = Apart(description, folders, tuple(node.name for node in order))
    try:
        for folder in folders.values():
            local.start(folder, while_pid=os.getpid())
        for name in made.names:
            wait_for(lambda name=name: (made.home(name) / geth.IPC).exists(), f"{name} to be up")
        wait_for(lambda: _all_go_on(made, 3), "blocks", 120)
        yield made
    finally:
        for folder in folders.values():
            local.stop(folder)


def _all_go_on(apart: Apart, height: int) -> bool:
    return all(len(seen.peers) == 3 and seen.number > height for seen in apart.views().values())


def _sent(url: str, number: int) -> str:
    """Deploy a contract from an account that has nothing, without waiting; where it will be."""
    rpc = Rpc.for_deployment([url])
    sender = wallet(number)
    nonce = int(rpc.call("eth_getTransactionCount", [sender.address, "latest"]), 16)
    signed = sender.sign_transaction(
        {
            "chainId": rpc.connection.chain_id,
            "nonce": nonce,
            "to": None,
            "gas": 2_000_000,
            "gasPrice": 0,
            "value": 0,
            "data": TILL.encode_deploy([LIMIT]),
        }
    )
    rpc.call("eth_sendRawTransaction", ["0x" + signed.raw.hex()])
    return "0x" + signed.hash.hex()


def _in_block(home: Path, tx: str) -> bool:
    with IpcLine(home / geth.IPC, 20) as line:
        receipt = line.call("eth_getTransactionReceipt", tx)
        return receipt is not None and receipt["status"] == "0x1"


def _heads(apart: Apart) -> dict[str, str]:
    return {name: seen.hash for name, seen in apart.views().items()}


def _stands(apart: Apart) -> bool:
    before = _heads(apart)
    time.sleep(5)
    return _heads(apart) == before


def _split(apart: Apart, number: int) -> tuple[bool, list[str], dict[str, View]]:
    """Cut it in two so that it ties if nobody was late; whether it did, what was sent, who is where."""
    halves = apart.names[:2], apart.names[2:]
    apart.await_turn()
    apart.link(halves, False)
    urls = [apart.description.node(half[0]).rpc_url for half in halves]
    sent = [_sent(url, number + place) for place, url in enumerate(urls)]
    wait_for(lambda: _stands(apart), "both halves to stand", 120)
    found = apart.views()
    heads = {seen.hash for seen in found.values()}
    return len(heads) == 2 and len({seen.weight for seen in found.values()}) == 1, sent, found


def test_a_tie_ends_what_counted_stays_and_what_was_sent_on_either_side_is_done(apart: Apart) -> None:
    for attempt in range(_TRIES):
        tie, sent, found = _split(apart, 10 * attempt)
        counted = {name: (seen.number - seen.depth, apart.home(name)) for name, seen in found.items()}
        hashes = {name: _hash(home, number) for name, (number, home) in counted.items()}
        apart.link((apart.names[:2], apart.names[2:]), True)
        top = max(seen.number for seen in found.values())
        wait_for(lambda top=top: _all_go_on(apart, top + 4), "the chain to go on", 240)
        for name in apart.names:
            for other, (number, _) in counted.items():
                assert _hash(apart.home(name), number) == hashes[other], "a block that counted is gone"
            for tx in sent:
                wait_for(lambda name=name, tx=tx: _in_block(apart.home(name), tx), "what was sent", 60)
        if tie:
            break
    else:
        pytest.fail(f"none of {_TRIES} splits was a tie")
    logs = "".join((folder / "keeper.log").read_text() for folder in apart.folders.values())
    assert "of another branch" in logs


def _hash(home: Path, number: int) -> str:
    with IpcLine(home / geth.IPC, 20) as line:
        return str(line.call("eth_getBlockByNumber", hex(max(0, number)), False)["hash"])
