"""Four keepers in four folders, none of which sees more than its own node, end a tie after a split 2:2."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chain.nodes import geth
from chain.nodes.consensus.view import View
from chain.nodes.line import IpcLine
from chain.rpc import Rpc
from tests.chain.network import LIMIT, TILL, wallet
from tests.chain.nodes.processes import wait_for
from tests.network.nodes.apart import Apart, all_go_on

pytestmark = pytest.mark.engine

_TRIES = 4


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
        wait_for(lambda top=top: all_go_on(apart, top + 4), "the chain to go on", 240)
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
