"""One network of four validators, each with a folder and a keeper of its own, as on four machines."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chain.nodes import geth, layout
from chain.nodes.consensus.view import View, view
from chain.nodes.description import NetworkDescription
from chain.nodes.line import IpcLine
from tests.chain.nodes.processes import wait_for

__all__ = ["Apart", "all_go_on"]


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


def all_go_on(apart: Apart, height: int) -> bool:
    """Whether every node knows every other and has blocks above that height."""
    return all(len(seen.peers) == 3 and seen.number > height for seen in apart.views().values())
