"""Where an organisation's credits are: free, locked for what, and how they came to move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from chain.generated import events
from chain.history import history
from market.billing import fee_back

if TYPE_CHECKING:
    from chain.exchange import Exchange
    from chain.history import Entry

__all__ = [
    "appeals_of",
    "auctions_of",
    "bids_of",
    "leases_of",
    "locked",
    "movements",
    "offers_of",
    "requests_of",
]


def leases_of(exchange: Exchange, org: int) -> list[int]:
    """Every lease the organisation is a side of."""
    found: set[int] = set()
    for side in ("buyer", "provider"):
        for entry in history(exchange, [exchange.leases], side, org, kinds=[events.LeaseOpened]):
            assert isinstance(entry.event, events.LeaseOpened)  # noqa: S101  by the filter
            found.add(entry.event.lease)
    return sorted(found)


def offers_of(exchange: Exchange, org: int) -> list[int]:
    """Every offer the organisation published."""
    found = history(exchange, [exchange.book], "org", org, kinds=[events.OfferPublished])
    return [entry.event.offer for entry in found if isinstance(entry.event, events.OfferPublished)]


def requests_of(exchange: Exchange, org: int) -> list[int]:
    """Every request the organisation posted."""
    found = history(exchange, [exchange.book], "org", org, kinds=[events.RequestPosted])
    return [entry.event.request for entry in found if isinstance(entry.event, events.RequestPosted)]


def bids_of(exchange: Exchange, org: int) -> list[int]:
    """Every tender the organisation committed a bid to."""
    found = history(exchange, [exchange.tender], "bidder", org, kinds=[events.BidCommitted])
    return [entry.event.request for entry in found if isinstance(entry.event, events.BidCommitted)]


def appeals_of(exchange: Exchange, org: int) -> list[int]:
    """Every appeal the organisation filed."""
    if exchange.verdicts is None:
        return []
    found = history(exchange, [exchange.verdicts], "by", org, kinds=[events.AppealFiled])
    return [entry.event.appeal for entry in found if isinstance(entry.event, events.AppealFiled)]


def locked(exchange: Exchange, org: int) -> dict[str, int]:
    """The organisation's own credits in purpose accounts, microcredits by purpose."""
    purposes = ("prices", "bonds", "fees", "offers", "requests", "bids", "auctions", "stake", "appeals")
    sums = dict.fromkeys(purposes, 0)
    for purpose, amount in _parts(exchange, org):
        sums[purpose] += amount
    return sums


def _parts(exchange: Exchange, org: int) -> Iterator[tuple[str, int]]:
    from chain.generated.enums import BidStatus, Stage

    for lease in leases_of(exchange, org):
        account = exchange.settlement.account(lease)
        fees = fee_back(account.fee, account.fee_paid)
        if exchange.leases.lease(lease).buyer == org:
            yield "prices", account.price - account.paid + account.pending + account.disputed
            yield "fees", fees[0]
        else:
            yield "bonds", account.bond
            yield "fees", fees[1]
    for offer in offers_of(exchange, org):
        yield "offers", exchange.book.offer(offer).deposit
    for request in requests_of(exchange, org):
        tender = exchange.tender.tender(request)
        if tender.stage is Stage.OPEN:
            yield "requests", tender.ceiling_amount
    waiting = (BidStatus.REVEALED, BidStatus.AWARDED, BidStatus.SOLD)
    for request in bids_of(exchange, org):
        tender, status = exchange.tender.tender(request), exchange.tender.bidder(request, org).status
        if status in waiting or (status is BidStatus.COMMITTED and tender.stage is Stage.OPEN):
            yield "bids", tender.deposit
    yield from (("auctions", amount) for amount in _in_auctions(exchange, org))
    if exchange.witnesses is not None:
        yield "stake", exchange.witnesses.witness(org).stake
    for number in appeals_of(exchange, org):
        assert exchange.verdicts is not None  # noqa: S101  it has appeals
        appeal = exchange.verdicts.appeal_of(number)
        yield "appeals", 0 if appeal.decided else appeal.bond


def auctions_of(exchange: Exchange, org: int) -> list[int]:
    """Every English auction the organisation opened."""
    if exchange.english is None:
        return []
    found = history(exchange, [exchange.english], "seller", org, kinds=[events.AuctionOpened])
    return [entry.event.auction for entry in found if isinstance(entry.event, events.AuctionOpened)]


def _in_auctions(exchange: Exchange, org: int) -> Iterator[int]:
    """Deposits of own auctions that are open, and what bids hold that were not pulled."""
    from chain.generated.enums import AuctionStage

    if exchange.english is None:
        return
    for number in auctions_of(exchange, org):
        auction = exchange.english.auction(number)
        yield auction.deposit if auction.stage is AuctionStage.OPEN else 0
    found = history(exchange, [exchange.english], "buyer", org, kinds=[events.AuctionBid])
    for number in sorted({e.event.auction for e in found if isinstance(e.event, events.AuctionBid)}):
        yield exchange.english.stake_of(number, org).amount


def movements(exchange: Exchange, org: int) -> list[Entry]:
    """Everything that changed the organisation's free balance, oldest first."""
    own = history(
        exchange,
        [exchange.escrow],
        "org",
        org,
        kinds=[events.Deposited, events.Withdrawn, events.Locked, events.Unlocked, events.Given],
    )
    paid = history(exchange, [exchange.escrow], "to", org, kinds=[events.Paid, events.Given])
    return sorted([*own, *paid], key=lambda entry: (entry.block, entry.log_index))
