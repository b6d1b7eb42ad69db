"""What anyone may do, and somebody has to: draw committees, claim on what was published, have missed ticks
fined, pay out terms, settle what is final (rules W2, W5, W6, W9, W11).

Of the witnesses that could act, one is first by lot and the others only act if it did not: each lot waits one
step longer, and everybody looks at the chain before sending. Whoever acts, the outcome is the same. This
module must not read the log: a claim rests on published leaves alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from eth_utils.crypto import keccak

from chain.contracts.base import Call
from chain.exchange import Exchange
from chain.generated.enums import Committee
from chain.generated.errors import Witnesses_DrawClosed
from chain.published import case, judges
from chain.wire import Block
from market.errors import OcxError, Refused
from market.rounds import CLAIM_AFTER, CLAIM_FOR, Grid, Span, agreed
from market.verdicts import Record
from witness.duties import Watched
from witness.index import Index, Seated
from witness.outbox import Outbox

__all__ = ["Claims", "rank"]

log = logging.getLogger(__name__)

_FINE_AFTER = 3
"""Epochs after an epoch until its missed tick can be fined for a buyer; for the council's fund one more."""

_REMEMBERED = 4
"""Epochs after which a turn that was waited for is counted anew."""
_AGAIN = 24
"""Epochs after which a lease is settled again, if something was in dispute."""


def rank(org: int, others: Sequence[int], what: str) -> int:
    """Whose turn it is among all who may, by lot: 0 acts at once, each further one waits a step longer."""
    lots = sorted(others, key=lambda each: keccak(f"{what}/{each}".encode()))
    return lots.index(org) if org in lots else len(lots)


class Claims:
    """The common chores of one witness; for one thread. `step`: seconds between two ranks."""

    def __init__(
        self,
        exchange: Exchange,
        index: Index,
        outbox: Outbox,
        org: int,
        grid: Grid,
        *,
        step: float,
        forget: Callable[[int], None],
    ) -> None:
        """`forget` is told of leases that are over, final and paid."""
        self._exchange, self._index, self._outbox = exchange, index, outbox
        self._witnesses, self._verdicts = judges(exchange)
        self._org, self._grid, self._step, self._forget = org, grid, step, forget
        self._closed: dict[tuple[int, int], int] = {}
        self._due: dict[str, int] = {}
        self._judged: dict[tuple[int, int, int], int] = {}
        self._pool: tuple[int, ...] = ()
        self._pool_of = -1
        self._refused: set[str] = set()
        self._ticked: dict[tuple[int, int], bool] = {}
        self._paid: set[tuple[int, int]] = set()

    def look(self, leases: Mapping[int, Watched], head: Block) -> None:
        """Do what is due, each lease apart."""
        self._read_pool(head)
        for watched in list(leases.values()):
            try:
                self._draw(watched, head)
                if any(self._org in seated.seats for seated in watched.committees.values()):
                    self._claim(watched, head)
                    self._finish(watched, head)
                elif watched.is_over(head.timestamp):
                    self._let_go(watched, head)
            except Refused as error:
                log.info("lease %d: %s", watched.lease, error)
        self._fine(leases, head)

    def _send(self, call: Call, intent: str, others: Sequence[int], head: Block) -> None:
        """Send it once our turn has come; the turn counts from the first time we wanted to."""
        first = self._due.setdefault(intent, head.timestamp)
        if head.timestamp >= first + rank(self._org, others, intent) * self._step:
            self._outbox.send(call, intent)

    def _read_pool(self, head: Block) -> None:
        epoch = self._grid.epoch_of(head.timestamp)
        if epoch != self._pool_of:
            self._pool, self._pool_of = self._witnesses.pool(block=head.number), epoch
            old = head.timestamp - _REMEMBERED * self._grid.epoch
            self._due = {intent: since for intent, since in self._due.items() if since > old}
            for kept in (self._refused, self._ticked, self._judged):
                kept.clear()

    # ---- draws ---------------------------------------------------------------------------------------------

    def _draw(self, watched: Watched, head: Block) -> None:
        record, epoch = watched.record, self._grid.epoch_of(head.timestamp)
        if not record.signed_at or watched.is_over(head.timestamp) or record.ended_at:
            return
        if record.committee not in (Committee.AWAITED, Committee.DRAWN):
            return
        term = self._grid.term_of(epoch, record.signed_at)
        key = (watched.lease, term)
        if term in watched.committees or self._closed.get(key, 0) > epoch:
            return
        call = self._witnesses.draw(*key)
        try:
            self._exchange.rpc.eth_call(call.to, call.data, head.number)
        except Witnesses_DrawClosed as error:
            self._closed[key] = max(int(error.evidence.get("from_epoch") or 0), epoch + 1)  # type: ignore[call-overload]
            return
        self._send(call, f"draw/{watched.lease}/{term}", self._pool, head)

    # ---- claims --------------------------------------------------------------------------------------------

    def _claim(self, watched: Watched, head: Block) -> None:
        """Claim on the spans whose time it is, where a quorum published down rounds."""
        if watched.window is None or watched.sla is None:
            return
        epoch = self._grid.epoch_of(head.timestamp) - CLAIM_AFTER - 1
        all_ = self._grid.epochs_of(watched.window)
        if epoch not in all_:
            return
        span = self._grid.span_of(epoch, watched.window)
        if span.last != epoch or head.timestamp >= self._grid.claim_window(span).end:
            return  # the rest of the epoch is for appeals
        for place in watched.places:
            if self._is_suspect(watched, place, span):
                self._claim_one(watched, place, span, head)

    def _is_suspect(self, watched: Watched, place: int, span: Span) -> bool:
        """Whether a quorum calls any round of the span down, by the rows alone."""
        for epoch in span.epochs:
            seated = watched.committee_at(self._grid, epoch)
            if seated is None:
                continue
            bitmaps = [self._down(org, epoch, watched.lease, place) for org in seated.seats]
            if agreed([bits for bits in bitmaps if bits], seated.quorum):
                return True
        return False

    def _down(self, org: int, epoch: int, lease: int, place: int) -> int:
        return self._index.down(org, epoch).get((lease, place), 0)

    def _claim_one(self, watched: Watched, place: int, span: Span, head: Block) -> None:
        record = self._verdicts.record(watched.lease, place, block=head.number)
        known = self._judged.get((watched.lease, place, span.last))
        if known is not None and (record.last, record.ppm) >= (span.last, known):
            return
        this = case(self._exchange, watched.lease, place, span.last, pages=self._index.opened)
        base = record if record.last < span.last else Record(0, 0, record.grace_until, 0, record.breached)
        found = this.judge(base)
        first = known is None
        self._judged[watched.lease, place, span.last] = found.ppm
        if not found.determined or record.last > span.last:
            return
        again = record.last == span.last
        changes = (
            found.ppm > record.ppm if again else found.ppm or found.record.grace_until != base.grace_until
        )
        if not changes:
            return
        if first:
            log.info("lease %d, machine %d: %s", watched.lease, place, "; ".join(found.why))
        call = self._verdicts.claim(watched.lease, place, span.last, this.evidence())
        intent = f"claim/{watched.lease}/{place}/{span.last}/{found.ppm}"
        self._send(call, intent, self._seats(watched, span), head)

    def _seats(self, watched: Watched, span: Span) -> list[int]:
        """All who sat in one of the span's epochs."""
        found: set[int] = set()
        for epoch in span.epochs:
            seated = watched.committee_at(self._grid, epoch)
            found |= set(seated.seats if seated else ())
        return sorted(found)

    # ---- fines ---------------------------------------------------------------------------------------------

    def _fine(self, leases: Mapping[int, Watched], head: Block) -> None:
        """Have those fined that owed a tick and did not complete it, in the two epochs when that opens."""
        now = self._grid.epoch_of(head.timestamp)
        for epoch in (now - _FINE_AFTER - 1, now - _FINE_AFTER):
            late = [org for org in self._pool if org != self._org and not self._has_ticked(org, epoch, head)]
            for org in late:
                lease = self._lease_of(leases, org, epoch, head)
                if not lease and epoch > now - _FINE_AFTER - 1:
                    continue  # the fund's turn comes an epoch later
                self._fine_one(org, epoch, lease, head)

    def _fine_one(self, org: int, epoch: int, lease: int, head: Block) -> None:
        call = self._witnesses.fine(org, epoch, lease)
        intent = f"fine/{org}/{epoch}"
        if intent in self._refused:
            return
        try:
            self._exchange.rpc.eth_call(call.to, call.data, head.number)
        except Refused:
            self._refused.add(intent)
            return
        self._send(call, intent, self._pool, head)

    def _has_ticked(self, org: int, epoch: int, head: Block) -> bool:
        key = (org, epoch)
        if key not in self._ticked:
            self._ticked[key] = self._witnesses.ticked(org, epoch, block=head.number)
        return self._ticked[key]

    def _lease_of(self, leases: Mapping[int, Watched], org: int, epoch: int, head: Block) -> int:
        """A lease where it sat and too few ticked, so that the fine is its buyer's; 0 if there is none."""
        for watched in leases.values():
            seated = watched.committee_at(self._grid, epoch)
            if seated is None or org not in seated.seats or watched.window is None:
                continue
            if epoch in self._grid.epochs_of(watched.window) and self._too_few(seated, epoch, head):
                return watched.lease
        return 0

    def _too_few(self, seated: Seated, epoch: int, head: Block) -> bool:
        return sum(self._has_ticked(org, epoch, head) for org in seated.seats) < seated.quorum

    # ---- the end of a term, and of a lease -----------------------------------------------------------------

    def _finish(self, watched: Watched, head: Block) -> None:
        """Pay the terms that are final, in their order, settle what is, and let go of what is done."""
        signed, now = watched.record.signed_at, self._grid.epoch_of(head.timestamp)
        over = watched.is_over(head.timestamp)
        last = self._grid.epoch_of(max(watched.ends - 1, signed))
        final = now - CLAIM_AFTER - CLAIM_FOR - 1  # the last epoch that nothing can change any more
        for term in range(self._grid.term_of(last, signed) + 1):
            end = self._grid.term(term, signed).last
            if (min(end, last) if over else end) > final:
                return
            if not self._pay(watched.lease, term, watched.committees.get(term), head):
                return
        if over:
            self._settle(watched, head)

    def _pay(self, lease: int, term: int, seated: Seated | None, head: Block) -> bool:
        """Whether a term is paid; the chain refuses it a second time."""
        if (lease, term) in self._paid:
            return True
        call = self._verdicts.pay(lease, term)
        try:
            self._exchange.rpc.eth_call(call.to, call.data, head.number)
        except Refused:
            self._paid.add((lease, term))
            return True
        seats = seated.seats if seated is not None and self._org in seated.seats else self._pool
        self._send(call, f"pay/{lease}/{term}", seats, head)
        return False

    def _let_go(self, watched: Watched, head: Block) -> None:
        """It is over and we never sat for it; if nobody did, somebody has to have its fees returned."""
        if watched.record.committee is Committee.AWAITED and not self._pay(watched.lease, 0, None, head):
            return
        self._drop(watched, head)

    def _drop(self, watched: Watched, head: Block) -> None:
        """Forget it, unless its buyer may still be owed a fine: who forgot it would have the fund paid."""
        last = self._grid.epoch_of(max(watched.ends - 1, watched.record.signed_at))
        if self._grid.epoch_of(head.timestamp) > last + _FINE_AFTER + 1:
            self._forget(watched.lease)

    def _settle(self, watched: Watched, head: Block) -> None:
        """Once nothing can change any more: whoever did not settle before, it happens now."""
        lease = watched.lease
        if not self._exchange.settlement.account(lease, block=head.number).closed:
            call = self._exchange.leases.settle(lease)
            try:
                self._exchange.rpc.eth_call(call.to, call.data, head.number)
            except OcxError as error:
                log.info("lease %d cannot be settled: %s", lease, error)
            else:
                orgs = sorted({org for seated in watched.committees.values() for org in seated.seats})
                again = self._grid.epoch_of(head.timestamp) // _AGAIN
                self._send(call, f"settle/{lease}/{again}", orgs, head)
                return
        self._drop(watched, head)
