"""Ends a tie between branches that one keeper sees whole; Clique's engine cannot end one by itself.

After a split down the middle, or when validators seal before they have met, two branches may weigh the same.
Nobody leaves its own, and on each those who may sign next are on the other: the chain stands, with everybody
connected. Whoever sees both branches can end that: one is chosen, and the nodes on others forget their last
blocks, which nobody took for final, and take the chosen ones. It must never touch nodes whose chain moves.
A keeper whose nodes are all on one branch cannot see this: `consensus.scout`.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.nodes import geth
from chain.nodes.consensus.view import View, majority, view
from chain.nodes.line import IpcLine
from chain.wire import RpcRefused
from market.errors import OcxError

__all__ = ["Head", "Watch", "better", "head_of", "heads", "losers", "rewind", "send_again", "transactions"]

log = logging.getLogger(__name__)

_PATIENCE = 20.0
"""Seconds a node may take for one of these acts."""


@dataclass(frozen=True)
class Head:
    """A node's newest block, what its branch weighs, how many validators there are, and how many of them are
    connected to it."""

    number: int
    hash: str
    weight: int
    signers: int
    peers: int


def head_of(seen: View) -> Head:
    """What of a node's view a tie is known by."""
    met = len(seen.peers & seen.signers)
    return Head(seen.number, seen.hash, seen.weight, len(seen.signers), met)


def heads(folders: Mapping[str, Path]) -> dict[str, Head]:
    """The newest block of each node that answers."""
    found = {}
    for name, folder in folders.items():
        with contextlib.suppress(OcxError):
            found[name] = head_of(view(folder))
    return found


def better(head: Head) -> tuple[int, str]:
    """Sorts branches, the better first: heavier, or of equals that of the smallest hash. All choose alike."""
    return (-head.weight, head.hash)


def losers(found: Mapping[str, Head]) -> tuple[str, ...]:
    """Who is not on the best branch."""
    if not found:
        return ()
    chosen = min(found.values(), key=better)
    return tuple(name for name, head in found.items() if head.hash != chosen.hash)


def rewind(folders: Mapping[str, Path], found: Mapping[str, Head], late: Sequence[str], depth: int) -> None:
    """Have the `late` forget `depth` blocks and take the chosen branch from a file another node writes.

    Not from the network: geth looks there only when a peer comes or tells of a block, and here none does.
    What stood in the lost blocks alone is sent again.
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
    """Whether it seals afterwards is for the keeper, which looks every second (`consensus.sealing`)."""
    with IpcLine(folder / geth.IPC, _PATIENCE) as line:
        line.call("miner_stop")
        lost = transactions(line, height + 1)
        line.call("debug_setHead", hex(height))
        line.call("admin_importChain", branch)
        send_again(line, lost)


def transactions(line: IpcLine, first: int) -> list[str]:
    """What stands in every block from `first` on, as it was sent; geth forgets it with the blocks."""
    found: list[str] = []
    number: Any = first
    while block := line.call("eth_getBlockByNumber", hex(number), False):
        for one in block["transactions"]:
            found.append(str(line.call("debug_getRawTransaction", one)))
        number += 1
    return found


def send_again(line: IpcLine, signed: Sequence[str]) -> None:
    """Put transactions into the pool; what the chain has by now is refused, and that is well."""
    for one in signed:
        with contextlib.suppress(RpcRefused):
            line.call("eth_sendRawTransaction", one)


class Watch:
    """Looks again and again at all nodes of one machine, and ends a tie that lasts `patience` seconds.

    While fewer than a quorum of today's validators have met as many, it is a split and no tie, and is left
    alone. `hold` is entered with a node's name while that node is worked on.
    """

    def __init__(self, patience: float, hold: Callable[[str], AbstractContextManager[object]]) -> None:
        self._patience, self._hold = patience, hold
        self._seen: dict[str, Head] = {}
        self._since = time.monotonic()

    def look(self, folders: Mapping[str, Path]) -> tuple[str, ...]:
        """See whether anything moved; the names of those that had to give way."""
        found = heads(folders)
        validators = max((head.signers for head in found.values()), default=0)
        quorum = majority(validators)
        met = sum(head.peers >= quorum - 1 for head in found.values())
        if found != self._seen or met < quorum:
            self._seen, self._since = found, time.monotonic()
            return ()
        late = losers(found)
        if not late or time.monotonic() - self._since < self._patience:
            return ()
        log.warning("the chain stands at a tie (%s): %s give way", found, ", ".join(late))
        try:
            with contextlib.ExitStack() as held:
                for name in late:
                    held.enter_context(self._hold(name))
                rewind(folders, found, late, quorum)
        except OcxError as error:
            log.warning("the tie could not be ended: %s", error)
        self._seen, self._since = {}, time.monotonic()
        return late
