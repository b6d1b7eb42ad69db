"""Bids in sealed tenders for the provider: what, at which rate, and every step from commitment to claim.

A bid is stored with its salt before its commitment leaves the house, so that a crash never costs the deposit.
Decisions go by the chain's clock, with a margin before each deadline. A resource is named in one live bid at
a time: were it won twice, the second deposit could be lost. Rates are microcredits per resource and hour.

This module must not show a bid or a salt before the reveal: commitments are computed here, not by a node.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from chain.contracts.base import Call
from chain.contracts.members import Role
from chain.contracts.tender import Bid, Tender, commitment
from chain.contracts.tender import Bidder as ChainBidder
from chain.exchange import Exchange
from chain.generated.enums import BidStatus, Stage
from chain.generated.errors import Inventory_NotCovering, Inventory_NotFree
from chain.wire import Block
from market.errors import Temporary
from market.pricing import Aim, PricePolicy, bid_rate
from market.windows import SlotWindow
from provisioner.clouds import Clouds
from provisioner.cover import cover_needed
from provisioner.hands import Hands
from provisioner.operations import Operations, Retries
from provisioner.records import OfferRecord, StoredBid, TenderRecord
from provisioner.settings import BiddingSettings
from provisioner.store import Store

__all__ = ["BidReport", "Bidder", "Move", "decide_bid", "offered_rate"]

_LONG = 1 << 62
_MOST = 64
_UNCOVERED = (
    "too few free credits, or too low a limit of this key, for the deposits and bonds if all our bids win; "
    "deposit more: ocx credits deposit"
)
"""Resources that one bid, and one lease, may name."""


class Move(Enum):
    """What to do next in one tender."""

    CONSIDER = "consider"
    COMMIT = "commit"
    REVEAL = "reveal"
    AWARD = "award"
    EXCUSE = "excuse"
    CLAIM = "claim"
    WAIT = "wait"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class BidReport:
    """What health says of one tender."""

    move: str
    why: str


def decide_bid(
    tender: Tender, bidder: ChainBidder, mine: StoredBid | None, now: int, margin: int
) -> tuple[Move, int]:
    """The next move in a tender, and the chain time from which there may be another if it is to wait.

    `margin`: seconds before a deadline in which nothing is tried any more.
    """
    if tender.stage is not Stage.OPEN:
        return _after_award(tender, bidder), _LONG
    ours = mine is not None and mine.commitment == bidder.commitment
    if bidder.status is BidStatus.NONE:
        if mine is not None and now < tender.commit_end <= now + margin:
            return Move.WAIT, tender.commit_end  # its commitment may be on its way: the salt is still needed
        if now + margin >= tender.commit_end:
            return Move.OVER, _LONG
        return (Move.CONSIDER if mine is None else Move.COMMIT), _LONG
    if bidder.status is BidStatus.COMMITTED and not ours:
        return Move.WAIT, tender.reveal_end  # somebody of our organisation holds the salt
    if now < tender.commit_end:
        return Move.WAIT, tender.commit_end
    if bidder.status is BidStatus.COMMITTED and now + margin < tender.reveal_end:
        return Move.REVEAL, _LONG
    return (Move.AWARD, _LONG) if now >= tender.reveal_end else (Move.WAIT, tender.reveal_end)


def _after_award(tender: Tender, bidder: ChainBidder) -> Move:
    if tender.stage is Stage.CANCELLED:
        return Move.OVER
    if bidder.status in (BidStatus.REVEALED, BidStatus.AWARDED):
        return Move.CLAIM
    return Move.EXCUSE if bidder.status is BidStatus.SOLD else Move.OVER


def offered_rate(
    settings: BiddingSettings, offer: OfferRecord, start: int, now: int, ceiling: int
) -> int | None:
    """The rate to bid for a window that begins at `start`; None if the request's ceiling is too low.

    What the offer says on chain is the lowest the law lets us bid, whatever the settings say.
    """
    lowest = max(settings.cost_rate, offer.floor_rate, 1)
    policy = PricePolicy(Aim(settings.aim), max(settings.ask_rate, lowest), lowest, settings.lead)
    return bid_rate(policy, start, now, ceiling)


class Bidder:
    """All tenders of one agent; called once per cycle."""

    def __init__(
        self,
        settings: BiddingSettings,
        exchange: Exchange,
        store: Store,
        hands: Hands,
        clouds: Clouds,
        operations: Operations,
        retries: Retries,
        *,
        org: int,
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._exchange, self._store = settings, exchange, store
        self._hands, self._clouds = hands, clouds
        self._operations, self._retries = operations, retries
        self._org = org
        self._clock = clock
        self._margin = int(2 * exchange.connection.block_time) + 1
        self._due: dict[int, tuple[int, float, int]] = {}
        self.reports: dict[int, BidReport] = {}

    def note(self, key: str, block: int) -> None:
        """A transaction for a tender ended, in this block if it was mined."""
        if key.startswith("tender/"):
            self._due[int(key.removeprefix("tender/"))] = (0, 0.0, block)

    def cycle(self, head: Block) -> None:
        """Look at every open tender that is due; begin at most one move in each."""
        for record in self._store.open_tenders():
            chain_due, wall_due, block = self._due.get(record.request, (0, 0.0, 0))
            key = _key(record)
            if head.number < block or self._operations.running(key) is not None:
                continue
            if self._retries.blocked(key) is not None:
                continue
            if head.timestamp < chain_due and self._clock() < wall_due:
                continue
            try:
                self._step(record, head)
            except Temporary:
                raise
            except Exception as error:  # noqa: BLE001  one tender that cannot be understood stops no other
                self._retries.failed(key, error)
                self.reports[record.request] = BidReport("refused", str(error))

    def _step(self, record: TenderRecord, head: Block) -> None:
        request = record.request
        tender = self._exchange.tender.tender(request, block=head.number)
        bidder = self._exchange.tender.bidder(request, self._org, block=head.number)
        mine = self._store.bid(request)
        move, until = decide_bid(tender, bidder, mine, head.timestamp, self._margin)
        wall = 30.0
        why = ""
        if move is Move.COMMIT and mine is not None and self._is_stale(record, mine, head):
            dropped = self._store.drop_unsent_bid(request, _key(record))
            move = Move.CONSIDER if dropped else Move.WAIT
            until, why = tender.commit_end, "" if dropped else "what our stored bid names was sold"
        if move is Move.CONSIDER:
            mine, why = self._prepare(record, head)
            move = Move.WAIT if mine is None else Move.COMMIT
            until = tender.commit_end if mine is None else until
            wall = 2.0
        if move is Move.AWARD and (turn := self._turn(request, tender, head)) > head.timestamp:
            move, until = Move.WAIT, turn
        if move is Move.OVER:
            self._close(record, bidder)
            return
        if move is not Move.WAIT:
            why = self._act(move, record, bidder, mine)
            wall = 1.0 if why else wall
        self._due[request] = (until, self._clock() + wall, 0)
        self.reports[request] = BidReport(move.value, why)

    def _close(self, record: TenderRecord, bidder: ChainBidder) -> None:
        if bidder.status is BidStatus.NONE:
            self._store.drop_bid(record.request)
        self._store.close_tender(record.request)
        self.reports.pop(record.request, None)
        self._due.pop(record.request, None)
        self._retries.succeeded(_key(record))

    # ---- moves -----------------------------------------------------------------------------------------

    def _act(self, move: Move, record: TenderRecord, bidder: ChainBidder, mine: StoredBid | None) -> str:
        """Begin a move's transaction; what stands in the way, if anything."""
        request, chain = record.request, self._exchange.tender
        if move is Move.COMMIT and mine is not None:
            if not self._store.seal_bid(mine, _key(record), self._clock()):
                return "another agent of ours has replaced the bid"
            call = chain.commit(request, mine.commitment)
        elif move is Move.REVEAL and mine is not None:
            found = self._reveal(record, bidder, mine)
            if found is None:
                return "a resource of the bid is not free, and no lease excuses it"
            call = found
        elif move is Move.EXCUSE and mine is not None:
            conflict = self._conflict(record, mine.bid.resources, bidder)
            if conflict is None:
                self._store.close_tender(request)
                return "a resource was sold to somebody affiliated; the deposit is lost"
            call = chain.excuse(request, self._org, *conflict)
        elif move is Move.AWARD:
            call = chain.award(request)
        elif move is Move.CLAIM:
            call = chain.claim(request, self._org)
        else:
            self._store.close_tender(request)
            return "the bid is not ours to go on with"
        started = self._hands.submit(_key(record), move.value, _intent(move, mine), call)
        return "" if started else "waiting for a free worker"

    def _reveal(self, record: TenderRecord, bidder: ChainBidder, mine: StoredBid) -> Call | None:
        """The reveal, or the void one if a resource was sold meanwhile (A5); None if neither is possible."""
        chain, request = self._exchange.tender, record.request
        call = chain.reveal(request, self._org, mine.bid, mine.salt)
        try:
            self._exchange.estimate(call)
        except (Inventory_NotFree, Inventory_NotCovering):
            conflict = self._conflict(record, mine.bid.resources, bidder)
            if conflict is None:
                return None
            return chain.reveal_void(request, self._org, mine.bid, mine.salt, *conflict)
        return call

    def _turn(self, request: int, tender: Tender, head: Block) -> int:
        """When it is our turn to send the award that anybody may send: the best bidder first."""
        bidders = [org for org, _ in self._exchange.tender.revealed(request, block=head.number)]
        place = bidders.index(self._org) if self._org in bidders else len(bidders)
        return tender.reveal_end + place * 2 * self._margin

    def _conflict(
        self, record: TenderRecord, resources: tuple[int, ...], bidder: ChainBidder
    ) -> tuple[int, int] | None:
        """A resource of the bid, and the lease that took it since for a stranger to both sides."""
        chain = self._exchange
        for resource in resources:
            turnaround = chain.inventory.resource(resource).turnaround
            for lease, window in self._store.leases_of_resource(resource):
                if not _meet(window, record.window, turnaround):
                    continue
                found = chain.leases.lease(lease)
                strangers = not any(
                    chain.members.affiliated(found.buyer, side) for side in (self._org, record.org)
                )
                if strangers and found.created_at >= bidder.committed_at:
                    return resource, lease
        return None

    def _is_stale(self, record: TenderRecord, mine: StoredBid, head: Block) -> bool:
        """Whether a bid stored before a crash, and not sent, names what has been sold since."""
        name = self._hands.intent(_key(record), _intent(Move.COMMIT, mine))
        if self._exchange.sender.journal.by_intent(name) is not None:
            return False
        inventory = self._exchange.inventory
        return not all(inventory.is_free(r, record.window, block=head.number) for r in mine.bid.resources)

    # ---- what to bid -----------------------------------------------------------------------------------

    def _prepare(self, record: TenderRecord, head: Block) -> tuple[StoredBid | None, str]:
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
        if not self._is_covered(record, best, head):
            return None, _UNCOVERED
        salt = secrets.token_bytes(32)
        sealed = commitment(
            self._exchange.connection.chain_id,
            self._exchange.tender.address,
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
        why = "no resource of our offers is free and large enough"
        found: list[Bid] = []
        for offer in offers:
            if self._exchange.book.offer(offer.offer, block=head.number).closed:
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
            and _meet(windows[other.request], record.window, turnaround)
            for other in self._store.live_bids()
        )


def _meet(a: SlotWindow, b: SlotWindow, turnaround: int) -> bool:
    """Whether two leases of one resource could not both be booked."""
    return a.start_slot < b.end_slot + turnaround and b.start_slot < a.end_slot + turnaround


def _key(record: TenderRecord) -> str:
    return f"tender/{record.request}"


def _intent(move: Move, mine: StoredBid | None) -> str:
    """A commitment's intent names the commitment, so that another one is another intent."""
    return f"commit/{mine.commitment.hex()[:16]}" if move is Move.COMMIT and mine else move.value
