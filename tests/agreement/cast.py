"""Who takes part in the histories of leases: two sellers with their machines on sale, a buyer, a stranger."""

from __future__ import annotations

from chain.contracts.book import OfferTerms
from chain.contracts.members import Role
from market.windows import SlotWindow
from tests.agreement.arena import Arena, Organisation
from tests.agreement.twin import Market

OFFER_SLOTS = 700
SLA = 7
"""Registered nowhere: leases know an SLA by its number alone."""


class World:
    """Two sellers and a buyer with all machines on sale; made once, every history starts from it."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.rich = arena.admit("rich", Role.SELLER, 10**10)
        self.poor = arena.admit("poor", Role.SELLER, 3_000_000)
        self.buyer = arena.admit("buyer", Role.BUYER, 60_000_000)
        self.stranger = "0x" + "57" * 20
        for right in ("awards.open", "leases.witness"):
            arena.grant(self.stranger, right)
        first = arena.now // arena.params.slot
        self.sale = SlotWindow(first, first + OFFER_SLOTS)
        self.turnaround: dict[int, int] = {}
        self.offers: dict[int, tuple[Organisation, list[int], int, int]] = {}
        for seller, turnarounds, rate in (
            (self.rich, (0, 1, 3), 7_000_001),
            (self.poor, (2, 0), 2_999_999),
        ):
            machines = [arena.register(seller, turnaround) for turnaround in turnarounds]
            self.turnaround |= dict(zip(machines, turnarounds, strict=True))
            self._offer(seller, machines, rate, sla=0)
        self._offer(self.rich, list(self.turnaround)[:3], 7_000_001, SLA)
        arena.save()

    def _offer(self, seller: Organisation, machines: list[int], rate: int, sla: int) -> None:
        publish = self.arena.exchange.book.publish(OfferTerms(self.sale, 1, rate, sla=sla), machines)
        [published] = self.arena.act(seller.account, publish)
        self.offers[published.offer] = (seller, machines, rate, sla)

    def market(self) -> Market:
        """What the pure Python knows at the beginning."""
        orgs = [seller.org for seller, *_ in self.offers.values()] + [self.buyer.org]
        free = {org: self.arena.exchange.escrow.free(org) for org in orgs}
        return Market(self.arena.params, free, self.turnaround)
