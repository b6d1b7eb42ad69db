"""What one node knows of the chain at one moment, asked over its IPC socket in one message.

Whoever decides about a node (whether it seals, whether the chain stands, whom it lets in) decides by this and
not by network.yaml: who is a validator today is the chain's word. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from chain.nodes import geth
from chain.nodes.description import address_of_public_key
from chain.nodes.line import IpcLine
from chain.wire import as_number
from market.errors import Permanent

__all__ = ["View", "majority", "peer_key", "view", "view_over"]


def majority(validators: int) -> int:
    """How many of so many validators must work in Clique, and how many blocks make one certain."""
    return validators // 2 + 1


@dataclass(frozen=True)
class View:
    """A node's newest block and its peers. Addresses are in small letters, times unix seconds."""

    number: int
    hash: str
    weight: int
    time: int
    signers: frozenset[str]
    """Today's validators, by the newest block."""
    peers: frozenset[str]
    """The addresses of everybody connected."""
    seals: bool
    """Whether it was told to make blocks."""
    syncing: bool

    @property
    def quorum(self) -> int:
        """How many of today's validators must work for blocks to go on."""
        return majority(len(self.signers))

    @property
    def depth(self) -> int:
        """How many of the newest blocks are not certain: as many as a reader waits for."""
        return majority(len(self.signers))

    def has_met(self, address: str) -> bool:
        """Whether the node of that address and the validators connected to it are a quorum."""
        own = address.lower()
        return len((self.peers | {own}) & self.signers) >= self.quorum


def view(folder: Path, timeout: float = 5.0) -> View:
    """Ask the node in a folder; RpcUnreachable if it does not answer."""
    with IpcLine(folder / geth.IPC, timeout) as line:
        return view_over(line)


def view_over(line: IpcLine) -> View:
    """Ask over an open line."""
    block, signers, peers, seals, syncing = line.call_many(
        [
            ("eth_getBlockByNumber", ["latest", False]),
            ("clique_getSigners", ["latest"]),
            ("admin_peers", []),
            ("eth_mining", []),
            ("eth_syncing", []),
        ]
    )
    return View(
        number=as_number(block["number"]),
        hash=str(block["hash"]),
        weight=as_number(block["totalDifficulty"]),
        time=as_number(block["timestamp"]),
        signers=frozenset(str(each).lower() for each in signers),
        peers=frozenset(_address(peer_key(peer)) for peer in peers),
        seals=bool(seals),
        syncing=syncing is not False,
    )


def peer_key(peer: Mapping[str, Any]) -> str:
    """The public key, 128 hexadecimal digits, of one of `admin_peers`."""
    return str(peer.get("enode", "")).removeprefix("enode://").partition("@")[0]


@lru_cache(maxsize=1024)
def _address(key: str) -> str:
    try:
        return address_of_public_key(bytes.fromhex(key)).lower()
    except ValueError:
        raise Permanent(f"a node names a peer with the key {key!r}") from None
