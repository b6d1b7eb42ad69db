"""Works a verdict out again from public data alone, and says whether the chain's is right.

Two things are asked. Is what the chain says sound: has a quorum published every round it calls down, and do
these rounds give its penalty? And is it all: would a claim with everything that is published be worse? The
record a span starts from (grace, streaks) is told by the verdicts before it, each worked out again, too.
This module must not trust a view of `Verdicts` where events tell the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.codec import Event
from chain.generated import events
from chain.history import Entry, history
from chain.published import Case, case, judges
from market.rounds import Grid, Span, rounds_of
from market.verdicts import Judgement, Ledger, Sla, judge_rounds

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = ["Checked", "Replay", "recompute", "replay"]


@dataclass(frozen=True)
class Checked:
    """What came out.

    `verdict` is the chain's newest on the span (None: nobody claimed), `best` what all published leaves come
    to, `takes` whether a claim with them would be taken besides what is there, `problems` what does not fit.
    """

    case: Case
    verdict: events.VerdictGiven | None
    best: Judgement
    takes: bool
    is_final: bool
    problems: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether the chain's verdict, or that there is none, follows from what is public."""
        return not self.problems


class Replay:
    """The record of one machine of a lease, worked out from the events of `Verdicts`, oldest first."""

    def __init__(self, grid: Grid, sla: Sla, restore_time: int, place: int, provider: int) -> None:
        self._grid, self._sla, self._restore_time = grid, sla, restore_time
        self._place, self._provider = place, provider
        self._appeals: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()
        self.ledger = Ledger()
        self.verdict: events.VerdictGiven | None = None
        self.problems: list[str] = []

    @property
    def breach_appealed(self) -> bool:
        """Whether the provider's appeal against the span of the recorded breach is open."""
        spans = {self._appeals[number][1] for number in self._open}
        return self.ledger.record.breached in spans

    def see(self, event: Event) -> None:
        """Take one event of the lease into account; those of other machines change nothing."""
        if isinstance(event, events.VerdictGiven) and event.place == self._place:
            self._judged(event)
        elif isinstance(event, events.AppealFiled) and event.place == self._place:
            span = Span(event.epoch, event.epoch)
            self.ledger = self.ledger.turned(span)
            self._appeals[event.appeal] = (event.by, event.epoch)
            if event.by == self._provider:
                self._open.add(event.appeal)
        elif isinstance(event, events.AppealDecided) and event.appeal in self._appeals:
            self._decided(event)

    def _judged(self, event: events.VerdictGiven) -> None:
        span = Span(event.epoch - len(event.down) + 1, event.epoch)
        found = judge_rounds(
            self._grid,
            span,
            event.down,
            event.judged,
            self._sla,
            self.ledger.base(span),
            restore_time=self._restore_time,
            breach_appealed=self.breach_appealed,
        )
        said, ours = (event.counted, event.penalty_ppm), (found.counted, found.ppm)
        if said != ours:
            self.problems.append(
                f"the verdict on epoch {event.epoch} counts {said[0]} rounds for {said[1]} ppm; "
                f"its own down rounds give {ours[0]} for {ours[1]} ppm"
            )
        elif not self.ledger.takes(found):
            self.problems.append(f"the verdict on epoch {event.epoch} is no worse than the one before it")
        self.ledger, self.verdict = self.ledger.after(found), event

    def _decided(self, event: events.AppealDecided) -> None:
        by, epoch = self._appeals[event.appeal]
        self._open.discard(event.appeal)
        if by == self._provider:
            self.ledger = self.ledger.appeal_closed(
                epoch, self._sla, upheld=event.upheld, breach_appealed=self.breach_appealed
            )


def replay(exchange: Exchange, lease: int, place: int, until: int | None = None) -> Replay:
    """The machine's record after all events on spans up to the one named `until` (default: all)."""
    witnesses, verdicts = judges(exchange)
    facts = exchange.leases.lease(lease)
    sla, terms = verdicts.sla(facts.sla, lease), verdicts.terms(lease)
    state = Replay(witnesses.grid(), sla, terms.restore_time, place, facts.provider)
    for entry in _entries(exchange, lease):
        epoch = getattr(entry.event, "epoch", None)
        if until is None or epoch is None or epoch <= until:
            state.see(entry.event)
    return state


def recompute(exchange: Exchange, lease: int, place: int, epoch: int) -> Checked:
    """Work out the verdict on the span that `epoch` belongs to; see `chain.published.case` for errors."""
    this = case(exchange, lease, place, epoch)
    state = replay(exchange, lease, place, this.span.last)
    verdict = state.verdict if state.verdict and state.verdict.epoch == this.span.last else None
    base = state.ledger.base(this.span)
    best = this.judge(base, breach_appealed=state.breach_appealed)
    problems = [*state.problems, *_unlike(this)]
    if verdict is not None:
        problems += _unsound(this, verdict, best)
    return Checked(
        case=this,
        verdict=verdict,
        best=best,
        takes=state.ledger.takes(best),
        is_final=this.grid.is_final(this.span, exchange.now()),
        problems=tuple(problems),
    )


def _unlike(this: Case) -> Iterable[str]:
    """Witnesses whose published leaves are not what they committed to."""
    for sitting in this.sittings:
        page = sitting.opened
        if page.is_whole and any(page.commitment) and not page.fits:
            yield f"organisation {page.org} published for epoch {page.epoch} what it had not committed to"


def _unsound(this: Case, verdict: events.VerdictGiven, best: Judgement) -> Iterable[str]:
    """What of the chain's verdict does not follow from what is published."""
    span = Span(verdict.epoch - len(verdict.down) + 1, verdict.epoch)
    if span != this.span:
        yield f"the verdict is on epochs {span.first} to {span.last}; the lease has it otherwise"
        return
    if verdict.judged != best.judged:
        yield f"the verdict judges {verdict.judged} rounds; there are {best.judged}"
    for epoch, said, held in zip(span.epochs, verdict.down, best.down, strict=True):
        if said & ~held:
            rounds = ", ".join(map(str, rounds_of(said & ~held)))
            yield f"no quorum published that rounds {rounds} of epoch {epoch} were down"


def _entries(exchange: Exchange, lease: int) -> list[Entry]:
    """Everything that moved the records of a lease, in order."""
    _, verdicts = judges(exchange)
    kinds = (events.VerdictGiven, events.AppealFiled)
    found = history(exchange, [verdicts], "lease", lease, kinds=kinds)
    appeals = {entry.event.appeal for entry in found if isinstance(entry.event, events.AppealFiled)}
    for appeal in sorted(appeals):
        found += history(exchange, [verdicts], "appeal", appeal, kinds=(events.AppealDecided,))
    return sorted(found, key=lambda entry: (entry.block, entry.log_index))
