"""What the witnesses of a lease found, what it cost, and whose fault it was: the record of a lease's SLA.

Everything comes from events and views that anyone can ask a node for, each fact with the transaction that
made it one. Per machine and span: what the published leaves come to, what the chain's verdict is, and whom
it puts at fault. This module must not send anything; what the leaves mean is `market`'s judgement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from chain.generated import events
from chain.history import Entry, history
from chain.published import Case, Sitting, billed, cases, judges
from chain.recompute import Replay
from market.faults import Attribution, Seen, attribute
from market.rounds import Grid, rounds_of
from market.verdicts import Judgement
from market.windows import Window

if TYPE_CHECKING:
    from chain.contracts.leases import Lease
    from chain.exchange import Exchange

__all__ = ["Judged", "Report", "blame", "report"]

_KINDS = (
    events.CommitteeDrawn,
    events.VerdictGiven,
    events.BreachReached,
    events.PowerRecorded,
    events.AppealFiled,
    events.WitnessPaid,
    events.PenaltyPaid,
    events.InquiryAsked,
)
_MOVES = (events.VerdictGiven, events.AppealFiled, events.AppealDecided)
"""What moves a machine's record."""


@dataclass(frozen=True)
class Judged:
    """One span of one machine.

    `best` is what all published leaves come to, `verdicts` the chain's on it (none: nobody claimed), oldest
    first, `stage` how far it is: `measured` (it runs or is not published yet), `published` (claims may come),
    `open` (to claims and appeals), `appeals` (to these alone), `final`. `opens` and `final_at` are unix
    seconds.
    """

    case: Case
    best: Judgement
    verdicts: tuple[Entry, ...]
    blame: Attribution
    takes: bool
    stage: str
    opens: int
    final_at: int

    @property
    def verdict(self) -> events.VerdictGiven | None:
        """The newest verdict."""
        event = self.verdicts[-1].event if self.verdicts else None
        assert event is None or isinstance(event, events.VerdictGiven)  # noqa: S101  they are such
        return event

    @property
    def penalty(self) -> int:
        """Microcredits that all verdicts on it put aside together."""
        found = [entry.event for entry in self.verdicts]
        return sum(event.penalty for event in found if isinstance(event, events.VerdictGiven))

    @property
    def why_undetermined(self) -> str:
        """Why there is nothing to say of it; empty if there is."""
        if self.stage == "measured":
            return "its leaves are not published yet"
        if self.verdicts or not self.blame.undetermined:
            return ""
        lines = [line for line in self.blame.why if line.startswith("undetermined: ")]
        return lines[0].removeprefix("undetermined: ") if lines else "no witness sat in it"


@dataclass(frozen=True)
class Report:
    """All of a lease: `judged` by machine and time, `entries` what happened, oldest first, with transactions.

    `why` says why nothing is judged, where nothing is.
    """

    lease: int
    facts: Lease
    grid: Grid
    window: Window | None
    power: tuple[tuple[int, int], ...]
    judged: tuple[Judged, ...]
    entries: tuple[Entry, ...]
    why: str

    def events(self, *kinds: type) -> list[Entry]:
        """What happened of these kinds."""
        return [entry for entry in self.entries if isinstance(entry.event, kinds)]

    def places(self) -> list[int]:
        """The machines that are judged."""
        return sorted({item.case.place for item in self.judged})


def report(exchange: Exchange, lease: int) -> Report:
    """The record of a lease's SLA up to now. Permanent on an exchange without witnesses."""
    witnesses, verdicts = judges(exchange)
    facts, now = exchange.leases.lease(lease), exchange.now()
    grid, entries = witnesses.grid(), _entries(exchange, lease)
    why = _nothing(facts)
    judged = [] if why else list(_all_judged(exchange, facts, lease, entries, now))
    if not why and not judged:
        why = "nothing of it has billed yet"
    return Report(
        lease=lease,
        facts=facts,
        grid=grid,
        window=judged[0].case.window if judged else None,
        power=verdicts.power_of(lease),
        judged=tuple(judged),
        entries=tuple(entries),
        why=why,
    )


def _nothing(facts: Lease) -> str:
    """Why a lease has nothing to judge; empty if it may have."""
    if not facts.sla:
        return "it has no SLA, so nobody witnesses it"
    if facts.committee.name != "DRAWN":
        waived = facts.committee.name == "WAIVED"
        return "too few witnesses were eligible" if waived else "its committee is not drawn yet"
    return "" if facts.delivered else "nothing is delivered"


def _all_judged(
    exchange: Exchange, facts: Lease, lease: int, entries: Sequence[Entry], now: int
) -> Iterator[Judged]:
    if billed(facts, exchange.slot) is None:
        return
    moves = [entry for entry in entries if isinstance(entry.event, _MOVES)]
    for place, found in groupby(cases(exchange, lease, rounds_of(facts.delivered), until=now), _place):
        state, left = None, list(reversed(moves))
        for this in found:
            state = state or Replay(this.grid, this.sla, this.restore_time, place, facts.provider)
            # Claims on a span are over before those on the next are open, so its events come first.
            while left and getattr(left[-1].event, "epoch", 0) <= this.span.last:
                state.see(left.pop().event)
            yield _judged(this, state, entries, now)


def _place(this: Case) -> int:
    return this.place


def _judged(this: Case, state: Replay, entries: Sequence[Entry], now: int) -> Judged:
    span, grid = this.span, this.grid
    best = this.judge(state.ledger.base(span), breach_appealed=state.breach_appealed)
    verdicts = tuple(
        entry
        for entry in entries
        if isinstance(entry.event, events.VerdictGiven)
        and (entry.event.place, entry.event.epoch) == (this.place, span.last)
    )
    appeals = grid.appeal_window(span)
    return Judged(
        case=this,
        best=best,
        verdicts=verdicts,
        blame=blame(this, best),
        takes=state.ledger.takes(best),
        stage=_stage(grid, this, now),
        opens=appeals.start,
        final_at=appeals.end,
    )


def _stage(grid: Grid, this: Case, now: int) -> str:
    claims = grid.claim_window(this.span)
    if grid.is_final(this.span, now):
        return "final"
    if now >= claims.start:
        return "open" if now < claims.end else "appeals"
    last = [sitting for sitting in this.sittings if sitting.epoch == this.span.last]
    complete = bool(last) and all(sitting.usable for sitting in last)
    return "published" if complete else "measured"


def blame(this: Case, judgement: Judgement) -> Attribution:
    """Whose fault what was published of a span is."""
    seen = {epoch: _seen(this, epoch) for epoch in this.span.epochs if epoch in this.quorums}
    return attribute(this.grid, this.window, judgement, seen, this.power)


def _seen(this: Case, epoch: int) -> Seen:
    sat = [sitting for sitting in this.sittings if sitting.epoch == epoch]
    return Seen(tuple(_down(sitting) for sitting in sat if sitting.usable), len(sat), this.quorums[epoch])


def _down(sitting: Sitting) -> int:
    return sitting.leaf.down if sitting.leaf else 0


def _entries(exchange: Exchange, lease: int) -> list[Entry]:
    """What happened to a lease's SLA, oldest first."""
    witnesses, verdicts = judges(exchange)
    contracts = [witnesses, verdicts, exchange.settlement]
    if exchange.inquiries is not None:
        contracts.append(exchange.inquiries)
    found = history(exchange, contracts, "lease", lease, kinds=_KINDS)
    appeals = {entry.event.appeal for entry in found if isinstance(entry.event, events.AppealFiled)}
    for appeal in sorted(appeals):
        found += history(exchange, [verdicts], "appeal", appeal, kinds=(events.AppealDecided,))
    for inquiry in [entry.event.inquiry for entry in found if isinstance(entry.event, events.InquiryAsked)]:
        if exchange.inquiries is not None:
            kinds = (events.InquiryAnswered, events.InquiryCommitted)
            found += history(exchange, [exchange.inquiries], "inquiry", inquiry, kinds=kinds)
    return sorted(found, key=lambda entry: (entry.block, entry.log_index))
