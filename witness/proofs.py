"""Proof of delivery: fetch what was delivered, see each machine hold its host key, and say so on chain (L2).

Each seat says it for itself (`Witnesses.seen`); the chain counts, so no witness needs a channel to another.
Looking at machines happens on the event loop, saying it in the outbox: nothing here waits. This module must
not judge availability.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from chain.abi import ZERO_ADDRESS, checksum
from chain.contracts.witnesses import Witnesses
from chain.generated.enums import Committee
from chain.lease_endpoints import LeaseEndpoint, host_port
from chain.wire import Block
from market.rounds import Grid
from witness.duties import Watched
from witness.outbox import Outbox
from witness.probes.guest import guest
from witness.probes.ssh import host_key

__all__ = ["Proofs", "Run", "Sight", "look_at"]

log = logging.getLogger(__name__)

_PAUSE = 2.0
"""Seconds between two looks at a delivery that was not seen whole."""

_GAS, _GAS_PER_MACHINE = 600_000, 40_000
"""Enough for saying what was seen and for the proof that may come of it."""

Run = Callable[[Coroutine[Any, Any, Any]], "Future[Any]"]
"""Has a coroutine run on the event loop, from another thread."""
Fetch = Callable[[Watched], "tuple[LeaseEndpoint, ...] | None"]
"""The checked endpoints of a lease, None while they are not here."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of one machine: whether it holds its key, and who signs in it (None: nobody answered)."""

    place: int
    key: bool
    guest: str | None
    detail: str


@dataclass
class _Trial:
    delivery: bytes
    future: Future[list[Sight]] | None = None
    after: float = 0.0
    why: str = "not looked at yet"


class Proofs:
    """Deliveries that are to be proven, of the leases in whose committee we sit; for one thread."""

    def __init__(
        self,
        witnesses: Witnesses,
        outbox: Outbox,
        org: int,
        signer: str,
        grid: Grid,
        *,
        fetch: Fetch,
        run: Run,
        accept_time: int,
        loopback: bool,
        timeout: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._witnesses, self._outbox, self._org, self._signer, self._grid = (
            witnesses,
            outbox,
            org,
            signer,
            grid,
        )
        self._fetch, self._run, self._accept_time = fetch, run, accept_time
        self._loopback, self._timeout, self._monotonic = loopback, timeout, monotonic
        self._trials: dict[int, _Trial] = {}

    def look(self, leases: Sequence[Watched], head: Block) -> None:
        """Take the next step for every delivery that waits to be proven."""
        wanted = {watched.lease for watched in leases if self._is_wanted(watched, head.timestamp)}
        for lease in self._trials.keys() - wanted:
            del self._trials[lease]
        for watched in leases:
            if watched.lease in wanted:
                self._step(watched, head.timestamp)

    def waiting(self) -> dict[int, str]:
        """Deliveries that are not proven yet, and what stands in the way."""
        return {lease: trial.why for lease, trial in self._trials.items() if trial.why}

    def _is_wanted(self, watched: Watched, now: int) -> bool:
        record = watched.record
        if not record.delivered or watched.proven == record.delivered or watched.is_over(now):
            return False
        seated = watched.provers(self._grid, self._grid.epoch_of(now))
        return record.committee is Committee.DRAWN and seated is not None and self._org in seated.seats

    def _step(self, watched: Watched, now: int) -> None:
        trial = self._trials.get(watched.lease)
        if trial is None or trial.delivery != watched.record.delivery:
            trial = self._trials[watched.lease] = _Trial(watched.record.delivery)
        if trial.future is not None:
            if trial.future.done():
                self._finish(watched, trial, now)
            return
        if self._monotonic() < trial.after:
            return
        endpoints = self._fetch(watched)
        if endpoints is None:
            trial.why = "its endpoints are not here yet"
            return
        bare = next((item.kind for item in endpoints if item.kind != "ssh"), None)
        if bare is not None:  # and never will, so nobody needs to look again
            trial.why, trial.after = f"{bare} proves no host key: its buyer has to accept it", float("inf")
            return
        asked = look_at(
            watched.lease,
            endpoints,
            self._grid.round_of(now),
            self._signer,
            seconds=self._timeout,
            loopback=self._loopback,
        )
        trial.future = self._run(asked)

    def _finish(self, watched: Watched, trial: _Trial, now: int) -> None:
        assert trial.future is not None  # noqa: S101  the caller saw it done
        future, trial.future = trial.future, None
        trial.after = self._monotonic() + _PAUSE
        try:
            sights = future.result()
        except Exception as error:  # noqa: BLE001  what a stranger's machine does concerns this lease alone
            trial.why = f"looking at it failed: {error}"
            return
        patient = now < watched.record.delivered_at + self._accept_time // 2
        trial.why = why_not(sights, watched, patient=patient)
        if trial.why:
            log.info("lease %d is not proven by us: %s", watched.lease, trial.why)
            return
        record, guests = watched.record, guests_of(sights, watched)
        what = keccak(record.delivery + "".join(guests).encode()).hex()[:16]
        call = self._witnesses.seen(watched.lease, record.delivered, record.delivery, guests)
        # The call with which the quorum is reached proves the delivery, too; which it is, the block decides.
        gas = _GAS + _GAS_PER_MACHINE * record.count
        self._outbox.send(call, f"seen/{watched.lease}/{what}", gas)


async def look_at(
    lease: int,
    endpoints: Sequence[LeaseEndpoint],
    when: tuple[int, int],
    signer: str,
    *,
    seconds: float,
    loopback: bool,
) -> list[Sight]:
    """Have every machine prove its host key, and its responder sign; `when` is epoch and round."""

    async def one(item: LeaseEndpoint) -> Sight:
        if item.kind != "ssh":
            return Sight(item.place, False, None, f"{item.kind} proves no host key")
        seen = await host_key(item.host, item.port, seconds, expected=item.host_key, loopback=loopback)
        if item.guest is None or not seen.right:
            return Sight(item.place, seen.right, None, f"{seen.finding.value}: {seen.detail}")
        host, port = host_port(item.guest)
        said = await guest(
            host, port, seconds, lease=lease, place=item.place, epoch=when[0], round_=when[1], witness=signer,
            loopback=loopback,
        )  # fmt: skip
        address = checksum("0x" + said.address.hex()) if said.seen.right and said.address else None
        return Sight(item.place, True, address, f"responder {said.seen.finding.value}: {said.seen.detail}")

    return list(await asyncio.gather(*(one(item) for item in endpoints)))


def why_not(sights: Sequence[Sight], watched: Watched, *, patient: bool) -> str:
    """Why this cannot be said to be seen (yet); empty if it can.

    `patient`: there is time to wait for responders that the SLA does not ask for.
    """
    by_place = {sight.place: sight for sight in sights}
    for place in watched.places:
        sight = by_place.get(place)
        if sight is None:
            return f"machine {place} is not among the endpoints"
        if not sight.key:
            return f"machine {place} does not prove its host key ({sight.detail})"
        if sight.guest is None and (
            watched.guest_required or (patient and sight.detail.startswith("responder"))
        ):
            return f"the responder in machine {place} does not answer ({sight.detail})"
    return ""


def guests_of(sights: Sequence[Sight], watched: Watched) -> list[str]:
    """The responders' keys by place of the lease, the zero address where there is none."""
    by_place = {sight.place: sight.guest or ZERO_ADDRESS for sight in sights}
    return [by_place.get(place, ZERO_ADDRESS) for place in range(watched.record.count)]
