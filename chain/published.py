"""What witnesses have published, read from the chain: ticks, leaves, committees, and the evidence they make.

Everything here comes from events and views anyone can ask a node for; nothing comes from a witness. With it a
claim can be made (`Case.evidence`) and a verdict worked out again (`chain.recompute`). This module must not
send anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from chain.contracts.verdicts import Evidence
from chain.contracts.witnesses import Committee, Witnesses
from chain.leaves import Leaf
from chain.pages import Opened, block_at, judges, logs_between, opened
from market.errors import InvalidInput
from market.rounds import Grid, Span, agreed
from market.verdicts import Judgement, Record, Sla, judge
from market.windows import Window

if TYPE_CHECKING:
    from chain.contracts.leases import Lease
    from chain.exchange import Exchange

__all__ = [
    "Case",
    "Opened",
    "Sitting",
    "billed",
    "block_at",
    "case",
    "cases",
    "judges",
    "logs_between",
    "opened",
]


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
    InvalidInput if the lease has no SLA, nothing of it bills, or the machine was never delivered;
    Verdicts_UnknownSla if its SLA was not registered when it was opened.
    """
    about = _about(exchange, lease, place)
    span = about.grid.span_of(epoch, about.window)
    return _case(exchange, about, place, span, pages)


def cases(
    exchange: Exchange, lease: int, places: Sequence[int], *, until: int | None = None
) -> Iterator[Case]:
    """The same for every span of these machines that has begun by `until` (default: by now).

    By machine, then oldest first. What all share is read once. Errors as of `case`.
    """
    known: dict[int, Committee] = {}
    pages: Callable[[int, int], Opened] | None = None
    now = exchange.now() if until is None else until
    for place in places:
        about = _about(exchange, lease, place)
        spans = [span for span in about.grid.spans(about.window) if about.grid.start(span.first) <= now]
        if spans and pages is None:
            all_ = Span(spans[0].first, spans[-1].last)
            known = _committees(about.witnesses, about.grid, lease, about.signed_at, all_)
            orgs = {org for committee in known.values() for org in committee.seats}
            pages = partial(_page, opened(exchange, about.grid, orgs, all_))
        for span in spans:
            yield _case(exchange, about, place, span, pages, known)


@dataclass(frozen=True)
class _About:
    """What all spans of a machine share."""

    witnesses: Witnesses
    grid: Grid
    lease: int
    signed_at: int
    window: Window
    sla: Sla
    restore_time: int
    power: tuple[tuple[int, int], ...]


def _about(exchange: Exchange, lease: int, place: int) -> _About:
    witnesses, verdicts = judges(exchange)
    facts = exchange.leases.lease(lease)
    window = billed(facts, exchange.slot)
    if window is None or not facts.delivered >> place & 1:
        raise InvalidInput(f"machine {place} of lease {lease} does not bill", hint="See 'ocx lease show'.")
    if not facts.sla:
        raise InvalidInput(f"lease {lease} has no SLA", hint="Nobody witnesses it; see 'ocx sla list'.")
    return _About(
        witnesses,
        witnesses.grid(),
        lease,
        facts.signed_at,
        window,
        verdicts.sla(facts.sla, lease),
        verdicts.terms(lease).restore_time,
        verdicts.power_of(lease),
    )


def _case(
    exchange: Exchange,
    about: _About,
    place: int,
    span: Span,
    pages: Callable[[int, int], Opened] | None,
    known: dict[int, Committee] | None = None,
) -> Case:
    lease, grid = about.lease, about.grid
    drawn = _committees(about.witnesses, grid, lease, about.signed_at, span) if known is None else known
    committees = {epoch: drawn[epoch] for epoch in span.epochs}
    if pages is None:
        orgs = {org for committee in committees.values() for org in committee.seats}
        pages = partial(_page, opened(exchange, grid, orgs, span))
    sittings = [
        _sitting(pages(org, e), committee, seat, lease, place)
        for e, committee in committees.items()
        for seat, org in enumerate(committee.seats)
    ]
    return Case(
        lease=lease,
        place=place,
        grid=grid,
        window=about.window,
        span=span,
        sla=about.sla,
        restore_time=about.restore_time,
        power=about.power,
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
