"""What a witness is asked: a party how available a machine was, an auditor to have one round opened.

Both are answered from the log alone, with what was measured and committed, in time. An answer to an audit
that does not fit would be slashed, so it is checked here before it is sent. This module must not change the
log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chain.contracts.audits import Audits
from chain.contracts.base import Call
from chain.contracts.inquiries import Answer, Inquiries, Inquiry, Result
from chain.leaves import EpochLeaves, Outcome, Sample, Tree
from chain.wire import Block
from market.rounds import Grid
from market.verdicts import PPM
from market.windows import Window
from witness.index import Audited, Index
from witness.log import Log, Measurement
from witness.outbox import Outbox

__all__ = ["Answers", "Figure", "figure"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Figure:
    """How available a machine was by our own measurements: `ppm` of the `measured` rounds."""

    answer: Answer
    ppm: int
    measured: int


def figure(measured: Sequence[Measurement], grid: Grid, window: Window, above_ppm: int) -> Figure:
    """Our answer to whether a machine was up in more than so much of the rounds that lie in the window."""
    rounds = down = 0
    for item in measured:
        inside = grid.whole(item.epoch, window) >> item.round & 1
        if inside and item.outcome != Outcome.PATH:
            rounds += 1
            down += item.outcome == Outcome.PROVIDER
    if not rounds:
        return Figure(Answer.UNKNOWN, 0, 0)
    yes = (rounds - down) * PPM > above_ppm * rounds
    return Figure(Answer.YES if yes else Answer.NO, (rounds - down) * PPM // rounds, min(rounds, 0xFFFF))


class Answers:
    """Answers for one witness organisation; for one thread.

    `sealed` gives all that was sealed of an epoch, `epoch_key` its key; `settle`: seconds after a time until
    all measurements before it are in the log.
    """

    def __init__(
        self,
        index: Index,
        measurements: Log,
        outbox: Outbox,
        org: int,
        grid: Grid,
        *,
        inquiries: Inquiries | None,
        audits: Audits | None,
        sealed: Callable[[int], EpochLeaves | None],
        epoch_key: Callable[[int], bytes],
        settle: float,
    ) -> None:
        self._index, self._log, self._outbox, self._org, self._grid = index, measurements, outbox, org, grid
        self._inquiries, self._audits = inquiries, audits
        self._sealed, self._epoch_key, self._settle = sealed, epoch_key, settle
        self._done: set[tuple[str, int]] = set()
        self.unanswerable: dict[int, str] = {}
        """Audits that cannot be answered, and why: they cost a part of the stake."""

    def look(self, head: Block) -> None:
        """Answer what is open and not answered yet."""
        self._answer_audits(head)
        self._answer_inquiries(head)

    # ---- inquiries -----------------------------------------------------------------------------------------

    def _answer_inquiries(self, head: Block) -> None:
        if self._inquiries is None:
            return
        asked = {item.inquiry: item for item in self._index.inquiries(head.timestamp)}
        wanted = [number for number in asked if ("inquiry", number) not in self._done]
        for number, inquiry in self._inquiries.many(wanted, block=head.number).items():
            call = self._inquiry_call(number, inquiry, head.timestamp)
            if call is not None:
                self._outbox.send(call, f"inquiry/{number}")

    def _inquiry_call(self, number: int, inquiry: Inquiry, now: int) -> Call | None:
        assert self._inquiries is not None  # noqa: S101  the caller saw it
        seated = self._index.committees(inquiry.lease).get(inquiry.term)
        if seated is None or self._org not in seated.seats or inquiry.result != Result.OPEN:
            self._done.add(("inquiry", number))
            return None
        bit = 1 << seated.seats.index(self._org)
        if (inquiry.yes | inquiry.no | inquiry.unknown) & bit:
            self._done.add(("inquiry", number))
            return None
        if now < inquiry.until + self._settle:
            return None
        window = Window(inquiry.from_, inquiry.until)
        span = self._grid.epochs_of(window)
        found = self._log.measured(inquiry.lease, inquiry.place, span.first, span.last)
        ours = figure(found, self._grid, window, inquiry.above_ppm)
        return self._inquiries.answer(number, ours.answer, ours.ppm, ours.measured)

    # ---- audits --------------------------------------------------------------------------------------------

    def _answer_audits(self, head: Block) -> None:
        if self._audits is None:
            return
        for asked in self._index.audits(head.timestamp):
            if ("audit", asked.audit) in self._done:
                continue
            if self._audits.audit_of(asked.audit, block=head.number).closed:
                self._done.add(("audit", asked.audit))
                self.unanswerable.pop(asked.audit, None)
                continue
            call = self._audit_call(asked)
            if call is not None:
                self._outbox.send(call, f"audit/{asked.audit}")

    def _audit_call(self, asked: Audited) -> Call | None:
        assert self._audits is not None  # noqa: S101  the caller saw it
        sealed = self._sealed(asked.epoch)
        leaf = None if sealed is None else sealed.rooted(asked.lease, asked.place)
        if sealed is None or leaf is None:
            why = "nothing was committed about that machine" if sealed else "the epoch was not sealed by us"
            self._cannot(asked, why)
            return None
        sample, proof = Sample(asked.round, 0, int(Outcome.PATH)), tuple[bytes, ...]()
        if leaf.leaf.measured >> asked.round & 1:  # else the leaf alone is the answer
            samples = self._log.samples(asked.lease, asked.place, asked.epoch)
            tree = Tree.of(samples)
            at = next((n for n, each in enumerate(samples) if each.round == asked.round), None)
            if at is None or tree.root != leaf.leaf.samples:
                self._cannot(asked, "the single measurements are not in the log any more")
                return None
            sample, proof = samples[at], tree.proof(at)
        key = self._epoch_key(asked.epoch)
        return self._audits.answer(asked.audit, key, sealed.opening, leaf, sample, proof)

    def _cannot(self, asked: Audited, why: str) -> None:
        if asked.audit not in self.unanswerable:
            log.error("audit %d of epoch %d cannot be answered: %s", asked.audit, asked.epoch, why)
        self.unanswerable[asked.audit] = why
