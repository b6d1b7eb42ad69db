"""What to bid in a sealed tender: which of our resources, at which rate, and whether we can afford to win.

A resource is named in one live bid at a time: were it won twice, the second deposit could be lost. Rates are
microcredits per resource and hour. This module stores the bid it makes and sends nothing; commitments are
computed here and not by a node, because a salt must not leave the house.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from chain.contracts.members import Role
from chain.contracts.tender import Bid, commitment
from chain.exchange import Exchange
from chain.generated.enums import AuctionStage
from chain.generated.events import AuctionOpened
from chain.history import history
from chain.wire import Block
from market.pricing import Aim, PricePolicy, bid_rate
from market.windows import SlotWindow
from provisioner.agent.clouds import Clouds
from provisioner.agent.cover import cover_needed
from provisioner.settings import BiddingSettings
from provisioner.store.records import OfferRecord, StoredBid, TenderRecord
from provisioner.store.store import Store

__all__ = ["BidChoice", "meet", "offered_rate"]

_MOST = 64
"""Resources that one bid, and one lease, may name."""
_UNCOVERED = (
    "too few free credits, or too low a limit of this key, for the deposits and bonds if all our bids win; "
    "deposit more: ocx credits deposit"
)


def offered_rate(
    settings: BiddingSettings, offer: OfferRecord, start: int, now: int, ceiling: int
) -> int | None:
    """The rate to bid for a window that begins at `start`; None if the request's ceiling is too low.

    What the offer says on chain is the lowest the law lets us bid, whatever the settings say.
    """
    lowest = max(settings.cost_rate, offer.floor_rate, 1)
    policy = PricePolicy(Aim(settings.aim), max(settings.ask_rate, lowest), lowest, settings.lead)
    return bid_rate(policy, start, now, ceiling)


class BidChoice:
    """The bids of one organisation."""

    def __init__(
        self, settings: BiddingSettings, exchange: Exchange, store: Store, clouds: Clouds, org: int
    ) -> None:
        self._settings, self._exchange, self._store = settings, exchange, store
        self._clouds = clouds
        self._org = org

    def prepare(self, record: TenderRecord, head: Block) -> tuple[StoredBid | None, str]:
        """A bid, stored; or why there is none."""
        members = self._exchange.members
        if members.affiliated(self._org, record.org, block=head.number):
            return None, "the buyer is one of us"
        organisation = members.organisation(self._org, block=head.number)
        if organisation.suspended or not organisation.roles & Role.SELLER:
            return None, "our organisation may not sell now"
        best, why = self._best_bid(record, head)
        if best is None:
            return None, why
        if self._is_auctioned(best, head):
            return None, "our own auction has it: its first bid would keep ours from being revealed"
        if not self._is_covered(record, best, head):
            return None, _UNCOVERED
        salt = secrets.token_bytes(32)
        sealed = commitment(
            self._exchange.connection.chain_id,
            self._exchange.tender.address_of(record.request),
            record.request,
            self._org,
            best,
            salt,
        )
        turnarounds = [(r, self._exchange.inventory.resource(r).turnaround) for r in best.resources]
        with self._store.transaction():  # another agent of ours may have pledged the same meanwhile
            if any(self._is_pledged(r, record, turnaround) for r, turnaround in turnarounds):
                return None, "another agent of ours has just pledged the same"
            return self._store.add_bid(StoredBid(record.request, best, salt, sealed), head.timestamp), ""

    def _is_auctioned(self, best: Bid, head: Block) -> bool:
        """Whether an open English auction of ours is on that offer."""
        english = self._exchange.english
        if english is None:
            return False
        opened = history(self._exchange, [english], "seller", self._org, kinds=[AuctionOpened])
        events = [entry.event for entry in opened if isinstance(entry.event, AuctionOpened)]
        numbers = [event.auction for event in events if event.offer == best.offer]
        stages = [english.auction(number, block=head.number).stage for number in numbers]
        return AuctionStage.OPEN in stages

    def _is_covered(self, record: TenderRecord, best: Bid, head: Block) -> bool:
        """Whether deposit and bond can be locked, the bonds of our other open bids beside them."""
        records = {item.request: item for item in self._store.open_tenders()}
        others = {bid.request: bid.bid for bid in self._store.live_bids() if bid.request in records}
        bids = [(records[request], bid) for request, bid in (others | {record.request: best}).items()]
        needed = cover_needed(self._exchange, self._org, bids, head)
        me = self._exchange.sender.address
        return self._exchange.escrow.can_lock(self._org, me, needed, block=head.number)

    def _best_bid(self, record: TenderRecord, head: Block) -> tuple[Bid | None, str]:
        """The most resources one open offer of ours can give, at the lowest rate among equals."""
        offers = self._store.offers(record.class_, record.window)
        if not offers:
            return None, "no offer of ours has this class and holds this window"
        start = record.window.start_slot * self._exchange.slot
        sla = self._exchange.book.request(record.request, block=head.number).sla
        why = "no resource of our offers is free and large enough"
        found: list[Bid] = []
        for offer in offers:
            published = self._exchange.book.offer(offer.offer, block=head.number)
            offer = replace(offer, floor_rate=published.floor_rate)  # it may have been repriced
            if published.frozen_until > head.timestamp:
                why = "our offer is under auction"
                continue
            if published.closed:
                continue
            if sla not in (0, published.sla, *self._settings.slas):
                why = f"it asks for SLA {sla}, which neither our offers nor bidding.slas name"
                continue
            rate = offered_rate(self._settings, offer, start, head.timestamp, record.ceiling_rate)
            if rate is None:
                why = "our rate is above the ceiling"
                continue
            free = [r for r in offer.resources if self._is_free(r, record, head)][: min(record.count, _MOST)]
            if free:
                found.append(Bid(offer.offer, rate, tuple(sorted(free))))
        return (min(found, key=lambda bid: (-len(bid.resources), bid.rate)) if found else None), why

    def _is_free(self, resource: int, record: TenderRecord, head: Block) -> bool:
        inventory = self._exchange.inventory
        if not self._clouds.has(resource):
            return False
        if self._is_pledged(resource, record, inventory.resource(resource).turnaround):
            return False
        return inventory.covers(
            resource, record.class_, record.spec, block=head.number
        ) and inventory.is_free(resource, record.window, block=head.number)

    def _is_pledged(self, resource: int, record: TenderRecord, turnaround: int) -> bool:
        """Whether another live bid of ours names the resource for a time that meets this one."""
        windows = {item.request: item.window for item in self._store.open_tenders()}
        return any(
            resource in other.bid.resources
            and other.request != record.request
            and other.request in windows
            and meet(windows[other.request], record.window, turnaround)
            for other in self._store.live_bids()
        )


def meet(a: SlotWindow, b: SlotWindow, turnaround: int) -> bool:
    """Whether two leases of one resource could not both be booked."""
    return a.start_slot < b.end_slot + turnaround and b.start_slot < a.end_slot + turnaround
