"""Ends a tie between branches where no keeper sees both: a node looks at the other branch for itself.

geth does not say what its peers' newest blocks are, and fetches a branch only if it is heavier than its own.
So a validator whose chain stands, though a quorum is connected and it may not sign the next block itself,
puts its newest blocks into a file, forgets them, calls only those validators that sealed none of them, and
takes what they have. Then it knows both branches and keeps the better one by the rule all keepers share
(`consensus.untie.better`); it seals nothing in between. So only validators on the worse branch ever change
sides, and several may look at once. Blocks that count are never forgotten, and its own come back from the
file if there is nothing better. It must never touch a node whose chain moves.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from pathlib import Path

from chain.nodes import geth, layout
from chain.nodes.consensus.untie import better, head_of, send_again, transactions
from chain.nodes.consensus.view import View, majority, view_over
from chain.nodes.description import Node, load
from chain.nodes.line import IpcLine
from chain.wire import RpcRefused
from market.errors import OcxError

__all__ = ["BRANCH", "Scout"]

log = logging.getLogger(__name__)

BRANCH = "branch.rlp"
"""In a node's folder: its own newest blocks, while it looks at others."""

_SPREAD = 10.0
"""Seconds over which those who look are spread, twice as many after each look in vain."""
_LOOKS = 60.0
"""Seconds a look may take: geth calls nobody again within 35 s."""
_PATIENCE = 20.0
"""Seconds a node may take for one act."""


class Scout:
    """For one start of one node; it looks once the chain has stood for `patience` seconds and some more."""

    def __init__(
        self,
        folder: Path,
        node: Node,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._folder, self._node, self._patience = folder, node, patience
        self._home, self._own = layout.node_folder(folder, node), node.address.lower()
        self._clock, self._chance = clock, chance
        self._head, self._tries = "", 0
        self._wait_from_now()

    def _wait_from_now(self) -> None:
        spread = _SPREAD * 2 ** min(self._tries, 4)
        self._due = self._clock() + self._patience + spread * self._chance()

    def look(self, seen: View, here: Set[str]) -> bool:
        """Whether it was time to look at other branches; `here` are the addresses of this keeper's nodes.

        Where they are a quorum, `consensus.untie` sees enough.
        """
        if seen.hash != self._head:
            self._head, self._tries = seen.hash, 0
            self._wait_from_now()
            return False
        if not seen.has_met(self._own) or seen.syncing or len(here & seen.signers) >= seen.quorum:
            self._wait_from_now()
            return False
        if self._clock() < self._due:
            return False
        try:
            with IpcLine(self._home / geth.IPC, _PATIENCE) as line:
                far = self._elsewhere(line, seen)
                if far:
                    self._tries += 1
                    self._head = self._explore(line, seen, far)
            return bool(far)
        finally:
            self._wait_from_now()

    def take_back(self) -> None:
        """Have the node's own blocks again, if a look was cut short; called each time before it may seal."""
        branch = self._home / BRANCH
        if not branch.exists():
            return
        with suppress(RpcRefused), IpcLine(self._home / geth.IPC, _PATIENCE) as line:
            line.call("admin_importChain", str(branch))
        branch.unlink()

    def _elsewhere(self, line: IpcLine, seen: View) -> Set[str]:
        """The connected validators that must be on another branch, if this is a tie: on this one, all who
        work have sealed so lately that none may sign the next block, this node included."""
        recents = line.call("clique_getSnapshot", "latest")["recents"]
        first = seen.number + 2 - majority(len(seen.signers))
        used = {str(signer).lower() for number, signer in recents.items() if int(number) >= first}
        return (seen.peers & seen.signers) - used if self._own in used else frozenset()

    def _explore(self, line: IpcLine, seen: View, far: Set[str]) -> str:
        """Take what `far` have, keep the better; the newest block's hash afterwards."""
        others = load(layout.description_path(self._folder)).others(self._node)
        there = [node for node in others if node.address.lower() in far]
        first = max(1, seen.number - seen.depth + 1)
        branch = self._home / BRANCH
        log.warning("the chain stands at block %d: looking at %s", seen.number, [node.name for node in there])
        began = self._clock()
        lost = transactions(line, first)
        base = line.call("eth_getBlockByNumber", hex(first - 1), False)["hash"]
        line.call("admin_exportChain", str(branch), first, seen.number)
        try:
            line.call("miner_stop")
            _part(line, others)
            line.call("debug_setHead", hex(first - 1))
            _meet(line, there)
            found = self._wait_for(line, seen.weight)
            if self._keeps(line, found, seen, first - 1, base):
                log.warning(
                    "took block %d of another branch after %.1f s", found.number, self._clock() - began
                )
                send_again(line, lost)
                branch.unlink()
            elif found.hash != seen.hash:
                log.warning("nothing better there after %.1f s", self._clock() - began)
                line.call("debug_setHead", hex(first - 1))
                self.take_back()
        finally:
            _meet(line, others)
        return view_over(line).hash

    def _keeps(self, line: IpcLine, found: View, seen: View, height: int, base: str) -> bool:
        """Whether what was found is better, and no other story of blocks that count."""
        if found.hash == seen.hash or better(head_of(found)) > better(head_of(seen)):
            return False
        if line.call("eth_getBlockByNumber", hex(height), False)["hash"] == base:
            return True
        log.error("the other branch denies block %d, which counts; it is not taken", height)
        return False

    def _wait_for(self, line: IpcLine, weight: int) -> View:
        """What the node has once that is no lighter than its own branch was, or when time is up."""
        deadline = self._clock() + _LOOKS
        while True:
            found = view_over(line)
            if found.weight >= weight and not found.syncing or self._clock() > deadline:
                return found
            time.sleep(0.2)


def _part(line: IpcLine, nodes: Sequence[Node]) -> None:
    for node in nodes:
        line.call("admin_removeTrustedPeer", node.enode)
        line.call("admin_removePeer", node.enode)


def _meet(line: IpcLine, nodes: Sequence[Node]) -> None:
    """Let them in and call them; one whose host has no address now hinders nobody else."""
    for node in nodes:
        with suppress(OcxError):
            line.call("admin_addTrustedPeer", node.enode)
            line.call("admin_addPeer", node.enode)
