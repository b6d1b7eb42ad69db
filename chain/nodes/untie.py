"""Ends a tie between branches, which Clique's engine cannot end by itself.

After a split down the middle, or when validators seal before they have met, two branches may weigh the same.
Nobody leaves its own, and on each those who may sign next are on the other: the chain stands, with everybody
connected. Whoever sees all nodes can end that: one branch is chosen, and those on others forget their last
blocks, which nobody took for final, and take the chosen ones. It must never touch nodes whose chain moves.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chain.nodes import geth
from chain.nodes.line import IpcLine
from chain.wire import as_number
from market.errors import OcxError

__all__ = ["Head", "Watch", "heads", "losers", "rewind"]

log = logging.getLogger(__name__)

_PATIENCE = 20.0
"""Seconds a node may take for one of these acts."""


@dataclass(frozen=True)
class Head:
    """A node's newest block, what its branch weighs, and how many peers the node has."""

    number: int
    hash: str
    weight: int
    peers: int


def heads(folders: Mapping[str, Path]) -> dict[str, Head]:
    """The newest block of each node that answers."""
    found = {}
    for name, folder in folders.items():
        try:
            with IpcLine(folder / geth.IPC) as line:
                block, peers = line.call_many(
                    [("eth_getBlockByNumber", ["latest", False]), ("net_peerCount", [])]
                )
            found[name] = Head(
                number=as_number(block["number"]),
                hash=str(block["hash"]),
                weight=as_number(block["totalDifficulty"]),
                peers=as_number(peers),
            )
        except OcxError:
            continue
    return found


def losers(found: Mapping[str, Head]) -> tuple[str, ...]:
    """Who is not on the heaviest branch; of equals that of the smallest hash is chosen."""
    if not found:
        return ()
    chosen = min(found.values(), key=lambda head: (-head.weight, head.hash))
    return tuple(name for name, head in found.items() if head.hash != chosen.hash)


def rewind(folders: Mapping[str, Path], found: Mapping[str, Head], late: Sequence[str], depth: int) -> None:
    """Have the `late` forget `depth` blocks and take the chosen branch from a file another node writes.

    Not from the network: geth looks there only when a peer comes or tells of a block, and here none does.
    """
    source = next(name for name in found if name not in late)
    first = max(1, min(found[name].number for name in late) - depth + 1)
    with tempfile.TemporaryDirectory(prefix="ocx-branch-") as folder:
        branch = str(Path(folder) / "blocks.rlp")
        with IpcLine(folders[source] / geth.IPC, _PATIENCE) as line:
            line.call("admin_exportChain", branch, first, found[source].number)
        for name in late:
            _take(folders[name], max(0, found[name].number - depth), branch)


def _take(folder: Path, height: int, branch: str) -> None:
    try:
        with IpcLine(folder / geth.IPC, _PATIENCE) as line:
            line.call("miner_stop")
            line.call("debug_setHead", hex(height))
            line.call("admin_importChain", branch)
    finally:
        geth.seal(folder)


class Watch:
    """Looks again and again at all nodes of one machine, and ends a tie that lasts `patience` seconds.

    While fewer than `quorum` have met as many, it is a split and no tie, and is left alone.
    """

    def __init__(self, patience: float, quorum: int, depth: int) -> None:
        self._patience, self._quorum, self._depth = patience, quorum, depth
        self._seen: dict[str, Head] = {}
        self._since = time.monotonic()

    def look(self, folders: Mapping[str, Path]) -> tuple[str, ...]:
        """See whether anything moved; the names of those that had to give way."""
        found = heads(folders)
        met = sum(head.peers >= self._quorum - 1 for head in found.values())
        if found != self._seen or met < self._quorum:
            self._seen, self._since = found, time.monotonic()
            return ()
        late = losers(found)
        if not late or time.monotonic() - self._since < self._patience:
            return ()
        log.warning("the chain stands at a tie (%s): %s give way", found, ", ".join(late))
        try:
            rewind(folders, found, late, self._depth)
        except OcxError as error:
            log.warning("the tie could not be ended: %s", error)
        self._seen, self._since = {}, time.monotonic()
        return late
