"""Who takes part in the histories of witnesses: a seller, a buyer, three witnesses, two machines.

Nothing here may compute what the contracts ought to answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from chain.contracts.book import OfferTerms
from chain.contracts.leases import Delivery
from chain.contracts.members import Role
from chain.contracts.verdicts import Verdicts
from chain.contracts.witnesses import Witnesses
from chain.published import judges
from market.rounds import Grid
from market.verdicts import Sla, Tier
from market.windows import SlotWindow
from tests.agreement.arena import PARAMS, Arena
from tests.chain.network import wallet

WATCHED = replace(
    PARAMS,
    epoch=100,
    rounds=30,
    restore_time=25,
    power_time=50,
    appeal_bond=777,
    appeal_time=150,
    min_stake=10_000,
    tick_fine=10,
    notice=60,
)
"""Rounds of 3 1/3 seconds, so that they are not all of one length; six epochs a slot."""

SLAS = (
    Sla((Tier(990_000, 100_001, 3), Tier(900_000, 333_333), Tier(500_000, 1_000_000, 2))),
    Sla((Tier(999_999, 7, 1),), guest=True),
    Sla(
        (
            Tier(1_000_000, 1, 255),
            Tier(950_000, 50_000),
            Tier(800_000, 500_000, 2),
            Tier(100_000, 999_999),
        )
    ),
)
RATE = 7_000_001


@dataclass(frozen=True)
class Seat:
    """A witness organisation and the key that ticks for it."""

    org: int
    signer: str


class Watch:
    """One deployment with witnesses; every history starts from its snapshot."""

    def __init__(self, arena: Arena, witnesses: int = 3) -> None:
        self.arena = arena
        x = arena.exchange
        self.witnesses: Witnesses
        self.verdicts: Verdicts
        self.witnesses, self.verdicts = judges(x)
        self.grid = Grid(arena.params.epoch, arena.params.rounds)
        self.seller = arena.admit("seller", Role.SELLER, 10**10)
        self.buyer = arena.admit("buyer", Role.BUYER, 10**10)
        self.slas = [self._register(sla) for sla in SLAS]
        self.machines = [arena.register(self.seller, 0) for _ in range(2)]
        first = arena.now // arena.params.slot
        sale = SlotWindow(first, first + 700)
        self.offers = []
        for sla in self.slas:
            terms = OfferTerms(sale, 1, RATE, sla=sla)
            [published] = arena.act(self.seller.account, x.book.publish(terms, self.machines))
            self.offers.append(int(published.offer))
        self.seats = [self._join(f"witness {number}") for number in range(witnesses)]
        self._wait(2)
        arena.save()

    def _register(self, sla: Sla) -> int:
        [registered] = self.arena.act(self.buyer.account, self.verdicts.register_sla(sla))
        return int(registered.sla)

    def _join(self, name: str) -> Seat:
        org = self.arena.admit(name, Role.WITNESS, 10**6)
        signer = wallet(org.org + 1000).address
        self.arena.act(org.account, self.witnesses.join(signer, self.arena.params.min_stake))
        return Seat(org.org, signer)

    def _wait(self, epochs: int) -> None:
        """Until so many epochs from now have begun."""
        x = self.arena.exchange
        at = self.grid.start(self.grid.epoch_of(self.arena.now) + epochs)
        self.arena.act(self.arena.founder, x.credits.mint(self.arena.founder, 1, "time goes by"), at)

    def lease(self, kind: int, slots: int, delay: int) -> int:
        """A lease of both machines with that SLA: signed, drawn, delivered `delay` seconds later, proven."""
        arena, x = self.arena, self.arena.exchange
        start = arena.now // arena.params.slot
        window = SlotWindow(start, start + slots)
        bought = arena.act(self.buyer.account, x.book.buy_now(self.offers[kind], self.machines, window))
        lease = int(next(event.lease for event in bought if event.NAME == "LeaseOpened"))
        arena.act(self.seller.account, x.leases.sign(lease))
        arena.act(self.buyer.account, self.witnesses.draw(lease, 0))
        delivery = Delivery(0b11, b"c" * 32, b"k" * 32, b"s" * 32)
        arena.act(self.seller.account, x.leases.deliver(lease, delivery), arena.now + delay)
        facts = x.leases.lease(lease)
        for seat in self.seats[:2]:
            arena.act(seat.signer, self.witnesses.seen(lease, 0b11, facts.delivery, []))
        assert x.leases.lease(lease).accepted == 0b11
        return lease
