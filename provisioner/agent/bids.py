"""What to bid in a sealed tender: which of our resources, at which rate, and whether we can afford to win.

A resource is named in one live bid at a time: were it won twice, the second deposit could be lost. Rates are
microcredits per resource and hour. This module stores the bid it makes and sends nothing; commitments are
computed here and not by a node, because a salt must not leave the house.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import replace

from chain.contracts.book import Bid
from chain.contracts.leases import Trait
from chain.contracts.members import Role
from chain.contracts.tender import commitment
from chain.eligible import eligible_ids
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
            return None, "our own auction has it, and sells it to one of the two"
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
        with self._store.transaction():  # another agent of ours may have pledged the same meanwhile
            if any(self._is_pledged(r, record, best.start) for r in best.resources):
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
        """The most resources one open offer of ours can give at once, at the lowest rate among equals."""
        offers = self._store.offers(record.class_, record.window, record.slots)
        if not offers:
            return None, "no offer of ours has this class and holds this window"
        request = self._exchange.book.request(record.request, block=head.number)
        most = 1 if request.traits & Trait.DISTINCT else min(record.count, _MOST)
        eligible = eligible_ids(self._exchange, record.request, request)
        why = "no resource of our offers is free, large enough and eligible"
        found: list[Bid] = []
        for offer in offers:
            published = self._exchange.book.offer(offer.offer, block=head.number)
            offer = replace(offer, floor_rate=published.floor_rate)  # it may have been repriced
            if published.frozen_until > head.timestamp:
                why = "our offer is under auction"
                continue
            if published.closed:
                continue
            if request.sla not in (0, published.sla, *self._settings.slas):
                why = f"it asks for SLA {request.sla}, which neither our offers nor bidding.slas name"
                continue
            start, free = self._best_start(offer, record, eligible, head)
            if not free:
                continue
            begins = start * self._exchange.slot
            rate = offered_rate(self._settings, offer, begins, head.timestamp, record.ceiling_rate)
            if rate is None:
                why = "our rate is above the ceiling"
                continue
            found.append(Bid(offer.offer, rate, start, tuple(free[:most])))
        return (min(found, key=lambda bid: (-len(bid.resources), bid.rate)) if found else None), why

    def _best_start(
        self, offer: OfferRecord, record: TenderRecord, eligible: Collection[int] | None, head: Block
    ) -> tuple[int, list[int]]:
        """When most of an offer's resources are free for as long as is asked, the first such slot, and which.

        Not before the reveals end, if there is a choice: what is over at the award is not paid for.
        """
        runs = {
            resource: self._runs(resource, offer, record, head)
            for resource in offer.resources
            if eligible is None or resource in eligible
        }
        starts = sorted({run.start_slot for some in runs.values() for run in some})
        free = {
            start: sorted(
                resource
                for resource, some in runs.items()
                if any(run.contains(record.piece(start)) for run in some)
                and not self._is_pledged(resource, record, start)
            )
            for start in starts
        }
        return max(free.items(), key=lambda item: (len(item[1]), -item[0]), default=(0, []))

    def _runs(self, resource: int, offer: OfferRecord, record: TenderRecord, head: Block) -> list[SlotWindow]:
        """When a resource could be leased as the request asks; nothing if it does not fit."""
        inventory = self._exchange.inventory
        if not self._clouds.has(resource):
            return []
        known = inventory.resource(resource, block=head.number)
        fits = known.class_ == record.class_ and known.spec.covers(record.spec)
        if not fits or known.retired or known.holds:
            return []
        common = _common(offer.window, record, -(-record.reveal_end // self._exchange.slot))
        calendar = inventory.booked(resource, common, known.turnaround, block=head.number)
        return calendar.availability(common, min_slots=record.slots, turnaround=known.turnaround)

    def _is_pledged(self, resource: int, record: TenderRecord, start: int) -> bool:
        """Whether another live bid of ours names the resource for a time that meets this one."""
        others = [bid for bid in self._store.live_bids() if bid.request != record.request]
        if not any(resource in other.bid.resources for other in others):
            return False
        open_ = {item.request: item for item in self._store.open_tenders()}
        turnaround = self._exchange.inventory.resource(resource).turnaround
        return any(
            resource in other.bid.resources
            and other.request in open_
            and meet(open_[other.request].piece(other.bid.start), record.piece(start), turnaround)
            for other in others
        )


def _common(offered: SlotWindow, record: TenderRecord, soonest: int) -> SlotWindow:
    """What offer and request have in common, from the slot `soonest` on if that leaves room for a piece."""
    start = max(offered.start_slot, record.window.start_slot)
    end = min(offered.end_slot, record.window.end_slot)
    return SlotWindow(max(start, min(soonest, end - record.slots)), end)


def meet(a: SlotWindow, b: SlotWindow, turnaround: int) -> bool:
    """Whether two leases of one resource could not both be booked."""
    return a.start_slot < b.end_slot + turnaround and b.start_slot < a.end_slot + turnaround
