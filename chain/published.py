"""What witnesses have published, read from the chain: ticks, leaves, committees, and the evidence they make.

Everything here comes from events and views anyone can ask a node for; nothing comes from a witness. With it a
claim can be made (`Case.evidence`) and a verdict worked out again (`chain.recompute`). This module must not
send anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from chain.contracts.audits import Page
from chain.contracts.verdicts import Evidence, Verdicts
from chain.contracts.witnesses import Committee, Witnesses
from chain.generated import events
from chain.history import topic
from chain.leaves import Leaf, Opening, Published, Tree
from chain.rpc import Rpc, RpcRefused
from chain.wire import Log
from market.errors import InvalidInput, Permanent
from market.rounds import Grid, Span, agreed
from market.verdicts import Judgement, Record, Sla, judge
from market.windows import Window

if TYPE_CHECKING:
    from chain.contracts.leases import Lease
    from chain.exchange import Exchange

__all__ = ["Case", "Opened", "Sitting", "billed", "block_at", "case", "judges", "logs_between", "opened"]


@dataclass(frozen=True)
class Opened:
    """What one witness committed to for one epoch, and what of it is public.

    `commitment` is zeros if the epoch was not ticked; `root`, `salt` are zeros and `count` (of chunks) is 0
    until it is opened. `chunks` holds the leaves of each chunk that is published, in order.
    """

    org: int
    epoch: int
    commitment: bytes = bytes(32)
    root: bytes = bytes(32)
    salt: bytes = bytes(32)
    count: int = 0
    chunks: tuple[tuple[Leaf, ...], ...] = ()

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


@dataclass(frozen=True, slots=True)
class Sitting:
    """A seat of a committee in one epoch: what it says about one machine.

    `leaf` is None where it published none; `usable` says that what it published counts as evidence, and
    `why`, in words, how things stand.
    """

    epoch: int
    seat: int
    org: int
    opened: Opened
    leaf: Leaf | None
    usable: bool
    why: str


@dataclass(frozen=True)
class Case:
    """One span of one machine, with all that is known about it: what a claim would be judged by."""

    lease: int
    place: int
    grid: Grid
    window: Window
    span: Span
    sla: Sla
    restore_time: int
    power: tuple[tuple[int, int], ...]
    quorums: dict[int, int]
    sittings: tuple[Sitting, ...]

    def down(self) -> dict[int, int]:
        """The rounds that a quorum of all that is published calls down, by epoch."""
        found = {}
        for epoch in self.span.epochs:
            bitmaps = [sitting.leaf.down for sitting in self._usable(epoch) if sitting.leaf]
            if bitmaps:
                found[epoch] = agreed(bitmaps, self.quorums[epoch])
        return found

    def evidence(self) -> list[Evidence]:
        """Every published leaf that counts, in the order the contract wants: what to claim with."""
        found = []
        for epoch in self.span.epochs:
            for sitting in self._usable(epoch):
                shown = sitting.opened.published(self.lease, self.place)
                if shown is not None:
                    found.append(Evidence(epoch, sitting.seat, shown))
        return found

    def judge(self, record: Record, *, breach_appealed: bool = False) -> Judgement:
        """What a claim with all of it comes to; `record` is the machine's before this span."""
        return judge(
            self.grid,
            self.window,
            self.span,
            self.down(),
            self.sla,
            record,
            restore_time=self.restore_time,
            suspended=self.power,
            breach_appealed=breach_appealed,
        )

    def _usable(self, epoch: int) -> list[Sitting]:
        return [sitting for sitting in self.sittings if sitting.epoch == epoch and sitting.usable]


def judges(exchange: Exchange) -> tuple[Witnesses, Verdicts]:
    """The two contracts; Permanent on an exchange without witnesses."""
    if exchange.witnesses is None or exchange.verdicts is None:
        raise Permanent("this exchange has no witnesses", hint="Its Directory names no contract Verdicts.")
    return exchange.witnesses, exchange.verdicts


def billed(lease: Lease, slot: int) -> Window | None:
    """What of a lease bills: from the last delivery, not before its window, to its end; None if nothing."""
    start = max(lease.start * slot, lease.delivered_at)
    end = lease.ended_at or lease.end * slot
    return Window(start, end) if lease.delivered and start < end else None


def case(
    exchange: Exchange,
    lease: int,
    place: int,
    epoch: int,
    *,
    pages: Callable[[int, int], Opened] | None = None,
) -> Case:
    """Everything that is public about a machine and the span that `epoch` belongs to.

    `pages` gives what an organisation opened for an epoch, for whoever follows the events anyway; without it
    they are read from the chain.
    InvalidInput if the lease has no SLA, nothing of it bills, or the machine was never delivered.
    """
    witnesses, verdicts = judges(exchange)
    grid = witnesses.grid()
    facts = exchange.leases.lease(lease)
    window = billed(facts, exchange.slot)
    if window is None or not facts.delivered >> place & 1:
        raise InvalidInput(f"machine {place} of lease {lease} does not bill", hint="See 'ocx lease show'.")
    if not facts.sla:
        raise InvalidInput(f"lease {lease} has no SLA", hint="Nobody witnesses it; see 'ocx sla list'.")
    span = grid.span_of(epoch, window)
    committees = _committees(witnesses, grid, lease, facts.signed_at, span)
    if pages is None:
        orgs = {org for committee in committees.values() for org in committee.seats}
        read = opened(exchange, grid, orgs, span)
        pages = partial(_page, read)
    sittings = [
        _sitting(pages(org, e), committee, seat, lease, place)
        for e, committee in committees.items()
        for seat, org in enumerate(committee.seats)
    ]
    return Case(
        lease=lease,
        place=place,
        grid=grid,
        window=window,
        span=span,
        sla=verdicts.sla(facts.sla),
        restore_time=verdicts.terms().restore_time,
        power=verdicts.power_of(lease),
        quorums={e: committee.quorum for e, committee in committees.items()},
        sittings=tuple(sittings),
    )


def _page(read: dict[tuple[int, int], Opened], org: int, epoch: int) -> Opened:
    return read[org, epoch]


def _committees(
    witnesses: Witnesses, grid: Grid, lease: int, signed_at: int, span: Span
) -> dict[int, Committee]:
    """Who sat, by epoch."""
    terms = {epoch: grid.term_of(epoch, signed_at) for epoch in span.epochs}
    drawn = {term: witnesses.committee(lease, term) for term in sorted(set(terms.values()))}
    return {epoch: drawn[term] for epoch, term in terms.items()}


def _sitting(page: Opened, committee: Committee, seat: int, lease: int, place: int) -> Sitting:
    leaf = page.leaf(lease, place)
    usable, why = _standing(page, committee, leaf)
    return Sitting(page.epoch, seat, page.org, page, leaf, usable, why)


def _standing(page: Opened, committee: Committee, leaf: Leaf | None) -> tuple[bool, str]:
    if page.epoch < committee.drawn:
        return False, f"the committee was drawn in epoch {committee.drawn}, after this one"
    if not any(page.commitment):
        return False, "it did not tick"
    if not page.is_open:
        return False, "it ticked, and is not opened yet, or never was"
    if not page.is_whole:
        return False, f"{len(page.chunks)} of {page.count} chunks are published"
    if not page.fits:
        return False, "what it published is not what it committed to"
    if leaf is None:
        return True, "it called no round down"
    return True, f"it called {leaf.down.bit_count()} of {leaf.measured.bit_count()} measured rounds down"


# ---- reading the chain ----


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
    for log in logs_between(exchange.rpc, witnesses.address, times, topics):
        event = events.decode(log.topics, log.data)
        if isinstance(event, events.Ticked):
            commitments[event.org, event.epoch] = event.commitment
            openings[event.org, event.epoch - 1] = (event.root, event.salt, event.chunks)
        elif isinstance(event, events.LeavesPublished):
            leaves = tuple(Leaf(*row) for row in event.leaves)
            chunks.setdefault((event.org, event.epoch), {})[event.chunk] = leaves
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
