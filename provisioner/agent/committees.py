"""Runs the errands of leases that have, or await, a committee: anyone may, the provider does it for its own.

A committee that is not drawn holds up the acceptance of a delivery, so the provider sees to it itself; money
that is final it draws as it comes. Who was quicker is no trouble of ours: the contracts refuse the second
before anything is sent. This module must not decide what is due (`provisioner.agent.errands` does).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from chain.contracts.base import Call
from chain.exchange import Exchange
from chain.generated.errors import Witnesses_DrawClosed, Witnesses_Drawn
from chain.wire import Block
from market.errors import Permanent
from provisioner.agent.errands import DrawFinal, DrawLots, Errand, Later, errands
from provisioner.agent.operations import Operations, Outcome, Retries
from provisioner.agent.steps import LeaseView
from provisioner.store.store import Store

__all__ = ["Committees"]

_PREFIX = "committee/"
_TIMEOUT = 120.0
_LONGEST_JITTER = 60


class Committees:
    """The errands of one agent; `me` is its account, by which it waits a little longer or shorter."""

    def __init__(
        self,
        exchange: Exchange,
        store: Store,
        operations: Operations,
        retries: Retries,
        *,
        me: str,
        intent: Callable[[str, str], str],
        clock: Callable[[], float],
    ) -> None:
        """`intent` gives an act its name for the sender, see `Hands.intent`."""
        self._exchange, self._store = exchange, store
        self._operations, self._retries = operations, retries
        self._me, self._intent, self._clock = me, intent, clock
        self._drawn: dict[int, int] = {}
        """The newest term of a lease that is known to be drawn."""
        self._drawn_until: dict[int, int] = {}
        self._closed_until: dict[int, int] = {}

    def look(self, view: LeaseView, head: Block) -> int | None:
        """Begin what is due for a lease at a block; the chain time from which there may be more."""
        now, times = head.timestamp, []
        if now < self._closed_until.get(view.lease, 0):
            times.append(self._closed_until[view.lease])
        for errand in self._due(view, head):
            if isinstance(errand, Later):
                times.append(errand.at)
            elif now >= self._closed_until.get(view.lease, 0) or isinstance(errand, DrawFinal):
                self._begin(view.lease, errand)
        return min((time for time in times if time > now), default=None)

    def _due(self, view: LeaseView, head: Block) -> list[Errand]:
        grid = view.facts.grid
        if grid is None or self._exchange.witnesses is None:
            return []
        share = hashlib.sha256(f"{self._me} {view.lease}".encode()).digest()[0] / 256
        return list(
            errands(
                view.facts,
                head.timestamp,
                is_drawn=lambda term: self._is_drawn(view.lease, term, head),
                drawn_until=self._drawn_until.get(view.lease, 0),
                patience=int(share * min(grid.epoch // 4, _LONGEST_JITTER)),
            )
        )

    def _is_drawn(self, lease: int, term: int, head: Block) -> bool:
        """Whether a term's committee is drawn; once it is, that never changes."""
        witnesses = self._exchange.witnesses
        if witnesses is None or self._drawn.get(lease, 0) >= term:
            return True
        if not witnesses.committee(lease, term, block=head.number).drawn:
            return False
        self._drawn[lease] = term
        return True

    def _begin(self, lease: int, errand: DrawLots | DrawFinal) -> None:
        key = f"{_PREFIX}{lease}"
        if self._retries.blocked(key) is not None or self._operations.running(key) is not None:
            return
        if isinstance(errand, DrawLots):
            self._start(lease, "draw lots", f"lots/{errand.term}", lambda: self._lots(lease, errand.term))
        else:
            name = f"final/{errand.until}"
            self._start(lease, "draw final", name, lambda: self._exchange.leases.settle(lease), errand.until)

    def _lots(self, lease: int, term: int) -> Call:
        witnesses = self._exchange.witnesses
        if witnesses is None:
            raise Permanent("this exchange has no witnesses")
        return witnesses.draw(lease, term)

    def _start(
        self, lease: int, kind: str, name: str, call: Callable[[], Call], until: int | None = None
    ) -> None:
        """One transaction at a time for each lease, journalled before and after."""
        key = f"{_PREFIX}{lease}"

        def send() -> int | None:
            entry = self._store.begin(key, kind, self._clock())
            try:
                receipt = self._exchange.send(call(), intent=self._intent(key, name))
            except Exception as error:
                self._store.finish(entry, self._clock(), error=type(error).__name__)
                raise
            self._store.finish(entry, self._clock(), result=f"0x{receipt.tx_hash.hex()}")
            return until

        self._operations.start(key, kind, send, _TIMEOUT)

    def note(self, outcome: Outcome) -> int | None:
        """Take the end of an errand; the lease to look at, None if it was none of ours."""
        if not outcome.key.startswith(_PREFIX):
            return None
        lease = int(outcome.key.removeprefix(_PREFIX))
        error = outcome.error
        if isinstance(error, Witnesses_DrawClosed):
            self._wait_for_lots(lease, error)
        elif error is not None and not isinstance(error, Witnesses_Drawn):
            self._retries.failed(outcome.key, error)
            return lease
        elif outcome.value is not None:
            self._drawn_until[lease] = outcome.value
        self._retries.succeeded(outcome.key)
        return lease

    def _wait_for_lots(self, lease: int, error: Witnesses_DrawClosed) -> None:
        """The salts that decide are not all opened yet, or the lease is over: no use in asking each block."""
        witnesses = self._exchange.witnesses
        if witnesses is None:
            return
        epoch, now = witnesses.epoch(), self._exchange.now()
        self._closed_until[lease] = max(error.from_epoch * epoch, now + max(1, epoch // 10))

    def forget(self, lease: int) -> None:
        """The lease is finished with."""
        for kept in (self._drawn, self._drawn_until, self._closed_until):
            kept.pop(lease, None)
        self._retries.succeeded(f"{_PREFIX}{lease}")
