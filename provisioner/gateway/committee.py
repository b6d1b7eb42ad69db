"""The gateway's calls for a lease's committee: where its machines are, and what the control plane last saw.

Served to members of the buyer, and to whoever acts for an organisation that sits in the committee of the
lease's running term (rule P2). What is served is public to them alone (P3): no users, no keys that let in, no
sealed data. What a committee is told is hashed on the chain, so a gateway that tells something else is found
out. A witness asks every round, so who may is remembered for half a minute.

This module must not touch a cloud, and must not log what it serves.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chain.contracts.leases import Lease
from chain.contracts.witnesses import Witnesses
from chain.exchange import Exchange
from chain.generated.enums import Committee
from chain.generated.errors import Leases_Unknown
from chain.sealed import sealed_hash
from market.rounds import Grid
from provisioner.agent.control import ControlPlane
from provisioner.gateway.http import Denied, guarded, lease_number
from provisioner.store.store import Store

__all__ = ["MEMORY", "CommitteeDesk", "held_until"]

MEMORY = 30.0
"""Seconds for which an account that may ask about a lease may do so without another look at the chain."""
_MOST_KNOWN = 20_000


def held_until(lease: Lease, first: int, accept_time: int) -> int:
    """Until when the buyer of a delivered lease is not let in, unix seconds; 0: it is at once.

    Who has root on a machine can keep a committee from seeing it, and take its provider's bond. So a
    committee that was drawn before the delivery has `first` seconds to itself, but never more than half of
    the acceptance time: the buyer needs the rest to look, and to accept or reject.
    """
    drawn = lease.committee is Committee.DRAWN and lease.committee_at <= lease.delivered_at
    if not drawn or lease.accepted == lease.delivered or lease.ended_at:
        return 0
    return lease.delivered_at + min(first, accept_time // 2)


class CommitteeDesk:
    """Tells committees. `account_of` says who asks, or raises; `ours` is the provider's organisation."""

    def __init__(
        self,
        exchange: Exchange,
        store: Store,
        control: ControlPlane | None,
        account_of: Callable[[Request], Awaitable[str]],
        *,
        ours: Callable[[], int],
        clock: Callable[[], float],
        first: int,
    ) -> None:
        """`first`: for how many seconds a committee may look at a delivery before the buyer gets in."""
        self._exchange, self._store, self._control = exchange, store, control
        self._account_of, self._ours, self._clock = account_of, ours, clock
        self._known: dict[tuple[str, int], float] = {}
        self._seats: dict[tuple[int, int], tuple[int, ...]] = {}
        self._grid: Grid | None = None
        self._first = first
        self._accept_time = 0
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """The calls: endpoints and status of a lease."""
        lease = "/v1/leases/{lease}"
        return [
            Route(f"{lease}/endpoints", guarded(self._endpoints)),
            Route(f"{lease}/status", guarded(self._status)),
        ]

    def looks_first(self, number: int, lease: Lease) -> None:
        """Raise Denied while the buyer has to wait for the committee; see `held_until`."""
        if not self._accept_time:
            self._accept_time = self._exchange.leases.terms().accept_time
        until = held_until(lease, self._first, self._accept_time)
        left = until - self._exchange.now() if until else 0
        if left > 0:
            raise Denied(
                425,
                f"the committee of lease {number} looks at the delivery first",
                f"Try again once it is proven, or {left} s from now.",
            )

    async def _endpoints(self, request: Request) -> Response:
        number, account = lease_number(request), await self._account_of(request)
        lease = await run_in_threadpool(self._lease_for, number, account)
        if not lease.delivered:
            raise Denied(425, f"lease {number} is not delivered yet", "Try again once it is.")
        if await run_in_threadpool(self._is_buyers, account, lease):
            await run_in_threadpool(self.looks_first, number, lease)
        blob = await run_in_threadpool(self._store.sealed, number, lease.delivery)
        if blob is None:
            raise Denied(404, f"the endpoints of lease {number} are not at this gateway")
        shown = {
            "sealed_hash": "0x" + sealed_hash(blob.sealed).hex(),
            "endpoints": json.loads(blob.endpoints),
        }
        return JSONResponse({"lease": number, **shown})

    async def _status(self, request: Request) -> Response:
        number, account = lease_number(request), await self._account_of(request)
        if not self._remembers(account, number):
            await run_in_threadpool(self._lease_for, number, account)
        seen = await run_in_threadpool(self._control.status, number) if self._control else ()
        return JSONResponse({"lease": number, "places": [asdict(item) for item in seen]})

    # ---- who may -----------------------------------------------------------------------------------------

    def _remembers(self, account: str, number: int) -> bool:
        with self._lock:
            return self._known.get((account, number), 0.0) > self._clock()

    def _lease_for(self, number: int, account: str) -> Lease:
        """The lease, if the account may know where its machines are; else the same "no" in every case."""
        lease = self._lease(number)
        if lease is None or not self._may(number, lease, account):
            raise Denied(403, f"lease {number} is none that this account buys or witnesses at this provider")
        with self._lock:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[account, number] = self._clock() + MEMORY
        return lease

    def _is_buyers(self, account: str, lease: Lease) -> bool:
        """Whether it acts for the buyer, as its member or by its grant."""
        return self._exchange.members.member_of(lease.buyer, account).org != 0

    def _lease(self, number: int) -> Lease | None:
        if not 0 < number < 1 << 32:
            return None
        try:
            lease = self._exchange.leases.lease(number)
        except Leases_Unknown:
            return None
        return lease if lease.provider == self._ours() else None

    def _may(self, number: int, lease: Lease, account: str) -> bool:
        if self._is_buyers(account, lease):
            return True
        witnesses = self._exchange.witnesses
        if witnesses is None:
            return False
        acting = {self._exchange.members.member(account).org, witnesses.signer_of(account)} - {0}
        return bool(acting) and not acting.isdisjoint(self._committee(witnesses, number, lease.signed_at))

    def _committee(self, witnesses: Witnesses, number: int, signed_at: int) -> tuple[int, ...]:
        """The seats of the running term; while that is not drawn or empty, those of the one before it, or of
        the first, which may speak for it meanwhile (`Witnesses.seen`)."""
        if not signed_at:
            return ()
        if self._grid is None:
            self._grid = witnesses.grid()
        term = self._grid.term_of(self._grid.epoch_of(self._exchange.now()), signed_at)
        found = (self._seats_of(witnesses, number, one) for one in (term, max(0, term - 1), 0))
        return next((seats for seats in found if seats), ())

    def _seats_of(self, witnesses: Witnesses, number: int, term: int) -> tuple[int, ...]:
        """A committee; one that is drawn never changes."""
        seats = self._seats.get((number, term))
        if seats is None:
            seats = witnesses.committee(number, term).seats
            if seats:
                self._seats[number, term] = seats
        return seats
