"""Which machines this witness has to measure, and until when: computed from the chain's rows and records.

A seat measures from the epoch its committee was drawn in to the end of its term, and only while the lease
bills: from `max(start, delivered)` to its end (rules W2, W5). Everything here follows from one block; nothing
is sent, and nothing is asked of a gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chain.contracts.leases import Lease
from chain.contracts.verdicts import Verdicts
from chain.exchange import Exchange
from chain.generated.enums import Committee
from chain.generated.errors import Verdicts_UnknownSla
from chain.published import billed
from chain.wire import Block
from market.rounds import Grid, Span
from market.verdicts import Sla
from market.windows import Window
from witness.index import Delivered, Index, Seated

__all__ = ["Duties", "Duty", "Watched", "duties_of", "seat_window"]


@dataclass(frozen=True, slots=True)
class Watched:
    """A lease with an SLA, as one block has it.

    `committees` by term; `guests` the responders' proven keys by place; `suspended` the recorded times
    without power; `proven` the bitmap of machines the committee proved; `window` when it bills (None: not
    delivered); `ends` the second it ends at the latest; `sla` is None where its number was not registered
    when it was opened: such a lease is watched and proven, but promises nothing.
    """

    lease: int
    record: Lease
    committees: Mapping[int, Seated]
    delivered: Delivered | None
    window: Window | None
    sla: Sla | None
    ends: int
    guests: tuple[str, ...] = ()
    suspended: tuple[tuple[int, int], ...] = ()
    proven: int = 0

    @property
    def guest_required(self) -> bool:
        """Whether only an answer of the responder in the guest counts as up."""
        return self.sla is not None and self.sla.guest

    @property
    def places(self) -> list[int]:
        """The delivered machines."""
        return [place for place in range(self.record.count) if self.record.delivered >> place & 1]

    def is_over(self, now: int) -> bool:
        """Whether it ended, or ran out."""
        return now >= self.ends

    def committee_at(self, grid: Grid, epoch: int) -> Seated | None:
        """The committee that was drawn for an epoch; None if none was there yet."""
        if not self.record.signed_at or epoch < grid.epoch_of(self.record.signed_at):
            return None
        found = self.committees.get(grid.term_of(epoch, self.record.signed_at))
        return found if found is not None and found.seats and found.drawn <= epoch else None

    def provers(self, grid: Grid, epoch: int) -> Seated | None:
        """Who can say now what was delivered: the term's committee, else the one before, else the first."""
        if not self.record.signed_at:
            return None
        term = grid.term_of(max(epoch, grid.epoch_of(self.record.signed_at)), self.record.signed_at)
        for number in (term, term - 1, 0):
            found = self.committees.get(number)
            if found is not None and found.seats:
                return found
        return None


@dataclass(frozen=True, slots=True)
class Duty:
    """One machine to be measured in the rounds that lie in `[start, end)`."""

    lease: int
    place: int
    start: int
    end: int

    @property
    def key(self) -> tuple[int, int]:
        """Lease and place."""
        return self.lease, self.place


def seat_window(watched: Watched, org: int, grid: Grid, around: int) -> Window | None:
    """The one stretch of time, around or after the epoch `around`, in which an organisation sits for a lease.

    Terms that follow each other are one stretch. None if there is none.
    """
    if watched.window is None or not watched.record.signed_at:
        return None
    found: Window | None = None
    for term, seated in sorted(watched.committees.items()):
        if org not in seated.seats:
            continue
        span = grid.term(term, watched.record.signed_at)
        first = Span(max(span.first, seated.drawn), span.last)
        start, end = grid.start(first.first), grid.end(first.last)
        if found is not None and found.end == start:
            found = Window(found.start, end)
        elif found is None or grid.epoch_of(found.end - 1) < around:
            found = Window(start, end) if start < end else found
    if found is None or grid.epoch_of(found.end - 1) < around:
        return None
    start, end = max(found.start, watched.window.start), min(found.end, watched.window.end)
    return Window(start, end) if start < end else None


def duties_of(leases: Iterable[Watched], org: int, grid: Grid, epoch: int) -> list[Duty]:
    """What an organisation measures from an epoch on, by lease and place."""
    found = []
    for watched in leases:
        window = seat_window(watched, org, grid, epoch)
        if window is not None and grid.epoch_of(window.end - 1) >= epoch:
            found += [Duty(watched.lease, place, window.start, window.end) for place in watched.places]
    return sorted(found, key=lambda duty: duty.key)


class Duties:
    """The leases of one witness organisation, as of the last block looked at; for one thread."""

    def __init__(self, exchange: Exchange, verdicts: Verdicts, index: Index, org: int, grid: Grid) -> None:
        self._exchange, self._verdicts, self._index = exchange, verdicts, index
        self._org, self._grid = org, grid
        self._slas: dict[int, Sla | None] = {}
        self._watched: dict[int, Watched] = {}
        self._stale: set[int] = set()
        self._epoch = -1

    @property
    def leases(self) -> Mapping[int, Watched]:
        """Every lease with an SLA that is not done with."""
        return self._watched

    def ours(self) -> list[Watched]:
        """Those in one of whose committees we sit."""
        return [
            watched
            for watched in self._watched.values()
            if any(self._org in seated.seats for seated in watched.committees.values())
        ]

    def look(self, head: Block) -> None:
        """Read again what something happened to, and in each new epoch everything that is ours or awaited."""
        epoch = self._grid.epoch_of(head.timestamp)
        wanted = self._stale | self._index.take_touched()
        open_ = set(self._index.open_leases())
        if self._epoch < 0:
            wanted |= open_
        elif epoch != self._epoch:
            wanted |= {watched.lease for watched in self.ours()}
            wanted |= {
                n for n, watched in self._watched.items() if watched.record.committee is Committee.AWAITED
            }
        for lease in self._watched.keys() - open_:
            del self._watched[lease]
        self._stale = wanted & open_
        self._read(sorted(self._stale), head)
        self._stale, self._epoch = set(), epoch

    def forget(self, lease: int) -> None:
        """It is over, final and paid."""
        self._index.set_done(lease)
        self._watched.pop(lease, None)

    def _read(self, leases: Sequence[int], head: Block) -> None:
        at = head.number
        for lease, record in self._exchange.leases.many(leases, block=at).items():
            if record.committee is Committee.WAIVED:
                self.forget(lease)
                continue
            self._watched[lease] = self._made(lease, record, head)

    def _made(self, lease: int, record: Lease, head: Block) -> Watched:
        delivered = self._index.delivery(lease) if record.delivered else None
        switched = self._index.was_switched(lease)
        suspended = self._verdicts.power_of(lease, block=head.number) if switched else ()
        proven = self._index.proven(lease)
        return Watched(
            lease=lease,
            record=record,
            committees=self._index.committees(lease),
            delivered=delivered,
            window=billed(record, self._exchange.slot),
            sla=self._sla(lease, record.sla),
            ends=record.ended_at or record.end * self._exchange.slot,
            guests=proven[1] if proven else (),
            suspended=suspended,
            proven=proven[0] if proven else 0,
        )

    def _sla(self, lease: int, number: int) -> Sla | None:
        if lease not in self._slas:
            try:
                self._slas[lease] = self._verdicts.sla(number, lease)
            except Verdicts_UnknownSla:
                self._slas[lease] = None
        return self._slas[lease]
