"""Sees every block of a network when it is first there, and which of them stayed.

With Clique a block may give way to another of the same height, so times are kept by hash and the answer is
that of the branch that won. This module must not send anything.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from bench.probe import Node
from chain.wire import as_number

__all__ = ["Seen", "Watch"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A block: when it (or the branch it is on) was first seen (unix seconds), its gas, its transactions."""

    number: int
    hash: str
    parent: str
    at: float
    gas: int
    transactions: tuple[str, ...]


class Watch:
    """Looks at one node every `every` seconds, and remembers the last `kept` blocks.

    `cpu`: processor seconds that took. `gas`: of all blocks so far. `replaced`: blocks that gave way.
    """

    def __init__(self, url: str, every: float = 0.02, kept: int = 10_000) -> None:
        self._kept = kept
        self._node = Node(urlsplit(url).port or 80)
        self._every = every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="watch blocks")
        self._lock = threading.Lock()
        self._blocks: dict[int, Seen] = {}
        self._places: dict[str, int] = {}
        self.height = -1
        self.replaced = 0
        self.gas = 0
        self._mined = 0
        self.cpu = 0.0

    def __enter__(self) -> Watch:
        self.look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(5)

    def place(self, transaction: str) -> Seen | None:
        """The block that holds a transaction (0x..), on the branch that is the best now."""
        with self._lock:
            number = self._places.get(transaction)
            return None if number is None else self._blocks[number]

    def block(self, number: int) -> Seen | None:
        """The block of a height."""
        with self._lock:
            return self._blocks.get(number)

    def mined(self) -> int:
        """How many transactions were seen in blocks."""
        return self._mined

    def between(self, begin: float, end: float) -> list[Seen]:
        """Blocks first seen within a time, by number."""
        with self._lock:
            return [block for _, block in sorted(self._blocks.items()) if begin <= block.at < end]

    def look(self) -> None:
        """Once: is there a new block?"""
        number = as_number(self._node.ask(("eth_blockNumber", []))[0])
        if number == self.height:
            return
        raw = self._get(number)
        now = time.time()
        first = self.height + 1 if self._blocks else number
        with self._lock:
            while raw is not None:
                self._take(raw, now)
                below = self._blocks.get(as_number(raw["number"]) - 1)
                known = below is not None and below.hash == raw["parentHash"]
                if known or (below is None and as_number(raw["number"]) <= first):
                    break
                raw = self._get(as_number(raw["number"]) - 1)
            self.height = number
            self._forget(min(self._blocks))

    def _get(self, number: int) -> Any:
        return self._node.ask(("eth_getBlockByNumber", [hex(number), False]))[0]

    def _take(self, raw: Any, now: float) -> None:
        number = as_number(raw["number"])
        old = self._blocks.get(number)
        if old is not None:
            self.replaced += 1
            self.gas -= old.gas
            self._mined -= len(old.transactions)
            self._drop(old)
        block = Seen(
            number, raw["hash"], raw["parentHash"], now, as_number(raw["gasUsed"]), tuple(raw["transactions"])
        )
        self._blocks[number] = block
        self._places |= dict.fromkeys(block.transactions, number)
        self.gas += block.gas
        self._mined += len(block.transactions)

    def _drop(self, block: Seen) -> None:
        for transaction in block.transactions:
            if self._places.get(transaction) == block.number:
                del self._places[transaction]

    def _forget(self, oldest: int) -> None:
        while len(self._blocks) > self._kept:
            self._drop(self._blocks.pop(oldest))
            oldest += 1

    def _run(self) -> None:
        while not self._done.wait(self._every):
            with contextlib.suppress(OSError):
                self.look()
            self.cpu = time.thread_time()
