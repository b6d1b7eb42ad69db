"""What witnesses have committed to, opened and published, read from the chain's events.

This module must not send anything, and must not judge what it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from chain.contracts.audits import Page
from chain.contracts.verdicts import Verdicts
from chain.contracts.witnesses import Witnesses
from chain.generated import events
from chain.history import topic
from chain.leaves import Leaf, Opening, Published, Tree
from chain.rpc import Rpc, RpcRefused
from chain.wire import Log
from market.errors import Permanent
from market.rounds import Grid, Span
from market.windows import Window

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = ["Opened", "block_at", "judges", "logs_between", "opened"]


def judges(exchange: Exchange) -> tuple[Witnesses, Verdicts]:
    """The two contracts; Permanent on an exchange without witnesses."""
    if exchange.witnesses is None or exchange.verdicts is None:
        raise Permanent("this exchange has no witnesses", hint="Its Directory names no contract Verdicts.")
    return exchange.witnesses, exchange.verdicts


@dataclass(frozen=True)
class Opened:
    """What one witness committed to for one epoch, and what of it is public.

    `commitment` is zeros if the epoch was not ticked; `root`, `salt` are zeros and `count` (of chunks) is 0
    until it is opened. `chunks` holds the leaves of each chunk that is published, in order. `txs` are the
    transactions behind it where they are known: what committed, what opened, what published further chunks.
    """

    org: int
    epoch: int
    commitment: bytes = bytes(32)
    root: bytes = bytes(32)
    salt: bytes = bytes(32)
    count: int = 0
    chunks: tuple[tuple[Leaf, ...], ...] = ()
    txs: tuple[bytes, ...] = field(default=(), compare=False)

    @property
    def is_open(self) -> bool:
        """Whether the tick of the next epoch opened it."""
        return any(self.salt)

    @property
    def is_whole(self) -> bool:
        """Whether it is opened and all its chunks are published: only then its leaves count."""
        return self.is_open and len(self.chunks) == self.count

    @cached_property
    def opening(self) -> Opening:
        """The opening, with the chunks' roots computed from the published leaves."""
        return Opening(tuple(tree.root for tree in self._trees), self.root, self.salt)

    @cached_property
    def fits(self) -> bool:
        """Whether what is public is what was committed to."""
        return self.is_whole and self.opening.commitment(self.org, self.epoch) == self.commitment

    def leaf(self, lease: int, place: int) -> Leaf | None:
        """The published leaf of a machine; None if there is none."""
        where = self._places.get((lease, place))
        return None if where is None else self.chunks[where[0]][where[1]]

    def published(self, lease: int, place: int) -> Published | None:
        """Shows the published leaf of a machine; None if there is none."""
        where = self._places.get((lease, place))
        if where is None:
            return None
        chunk, index = where
        return Published(self.opening, chunk, self._trees[chunk].proof(index), self.chunks[chunk][index])

    @cached_property
    def _trees(self) -> tuple[Tree, ...]:
        return tuple(Tree.of(chunk) for chunk in self.chunks)

    @cached_property
    def _places(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Chunk and index of each machine's leaf."""
        chunks = enumerate(self.chunks)
        return {leaf.key: (number, i) for number, chunk in chunks for i, leaf in enumerate(chunk)}

    def page(self) -> Page:
        """All of it, as audits want it."""
        return Page(self.org, self.root, self.salt, self.chunks)


def opened(exchange: Exchange, grid: Grid, orgs: Iterable[int], span: Span) -> dict[tuple[int, int], Opened]:
    """What these witnesses committed to, opened and published of the span's epochs, by (org, epoch)."""
    witnesses, _ = judges(exchange)
    wanted = sorted(set(orgs))
    found = {(org, epoch): Opened(org, epoch) for org in wanted for epoch in span.epochs}
    if not wanted:
        return found
    topics: list[bytes | Sequence[bytes] | None] = [
        [events.Ticked.TOPIC, events.LeavesPublished.TOPIC],
        [topic(org) for org in wanted],
        [topic(epoch) for epoch in range(span.first, span.last + 2)],
    ]
    times = Window(grid.end(span.first), grid.publish_window(span.last).end)
    commitments: dict[tuple[int, int], bytes] = {}
    openings: dict[tuple[int, int], tuple[bytes, bytes, int]] = {}
    chunks: dict[tuple[int, int], dict[int, tuple[Leaf, ...]]] = {}
    txs: dict[tuple[int, int], dict[bytes, None]] = {}
    for log in logs_between(exchange.rpc, witnesses.address, times, topics):
        event = events.decode(log.topics, log.data)
        if isinstance(event, events.Ticked):
            commitments[event.org, event.epoch] = event.commitment
            openings[event.org, event.epoch - 1] = (event.root, event.salt, event.chunks)
            for epoch in (event.epoch - any(event.salt), event.epoch):
                txs.setdefault((event.org, epoch), {})[log.tx_hash] = None
        elif isinstance(event, events.LeavesPublished):
            leaves = tuple(Leaf(*row) for row in event.leaves)
            chunks.setdefault((event.org, event.epoch), {})[event.chunk] = leaves
            txs.setdefault((event.org, event.epoch), {})[log.tx_hash] = None
    for key in found:
        root, salt, count = openings.get(key, (bytes(32), bytes(32), 0))
        parts = chunks.get(key, {})
        found[key] = Opened(
            *key,
            commitment=commitments.get(key, bytes(32)),
            root=root,
            salt=salt,
            count=count,
            chunks=tuple(parts[number] for number in sorted(parts)),
            txs=tuple(txs.get(key, ())),
        )
    return found


def logs_between(
    rpc: Rpc, address: str, times: Window, topics: Sequence[bytes | Sequence[bytes] | None]
) -> list[Log]:
    """The logs of a contract in the blocks of that time; in parts where a node finds it too much."""
    first, after = block_at(rpc, times.start), block_at(rpc, times.end)
    return _logs(rpc, address, first, after - 1, topics) if first < after else []


def _logs(
    rpc: Rpc, address: str, first: int, last: int, topics: Sequence[bytes | Sequence[bytes] | None]
) -> list[Log]:
    try:
        return rpc.get_logs([address], first, last, topics)
    except RpcRefused:
        if last - first < 16:
            raise
        middle = (first + last) // 2
        return [*_logs(rpc, address, first, middle, topics), *_logs(rpc, address, middle + 1, last, topics)]


def block_at(rpc: Rpc, time: int) -> int:
    """The first block that is not before that second; one more than the newest if there is none."""
    head = rpc.head()
    if head.timestamp < time:
        return head.number + 1
    low, high = 0, head.number
    while low < high:
        middle = (low + high) // 2
        if rpc.block(middle).timestamp < time:
            low = middle + 1
        else:
            high = middle
    return low
