"""Bids: the decisions alone, then whole tenders on a real chain."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from chain.contracts.book import Bid
from chain.contracts.english import AuctionTerms
from chain.contracts.tender import Bidder, Tender
from chain.generated.enums import BidStatus, Stage
from market.windows import SlotWindow
from provisioner.agent.bidder import Move, decide_bid, offered_rate
from provisioner.settings import BiddingSettings
from provisioner.store.records import OfferRecord, StoredBid
from tests.provisioner.world import KEY, Buyer, Provider, Running, World, wait_for

_NOTHING: dict[str, Any] = {field.name: 0 for field in dataclasses.fields(Tender)}
OPEN = Tender(**(_NOTHING | {"commit_end": 1000, "reveal_end": 2000, "stage": Stage.OPEN}))
OVER = dataclasses.replace(OPEN, stage=Stage.AWARDED, awarded_at=2001)
MINE = StoredBid(1, Bid(2, 3, 7, (4,)), b"s" * 32, b"c" * 32)
NOBODY = Bidder(BidStatus.NONE, "0x", 0, 0, bytes(32))


def ours(status: BidStatus) -> Bidder:
    """What the chain says of our bid."""
    return Bidder(status, "0xme", 900, 7, MINE.commitment)


@pytest.mark.parametrize(
    ("tender", "bidder", "mine", "now", "move"),
    [
        (OPEN, NOBODY, None, 900, Move.CONSIDER),
        (OPEN, NOBODY, MINE, 900, Move.COMMIT),
        (OPEN, NOBODY, MINE, 996, Move.COMMIT),
        (OPEN, NOBODY, MINE, 997, Move.WAIT),
        (OPEN, NOBODY, MINE, 999, Move.WAIT),
        (OPEN, NOBODY, MINE, 1000, Move.OVER),
        (OPEN, NOBODY, None, 997, Move.OVER),
        (OPEN, NOBODY, None, 1500, Move.OVER),
        (OPEN, ours(BidStatus.COMMITTED), MINE, 999, Move.WAIT),
        (OPEN, ours(BidStatus.COMMITTED), MINE, 1000, Move.REVEAL),
        (OPEN, ours(BidStatus.COMMITTED), MINE, 1996, Move.REVEAL),
        (OPEN, ours(BidStatus.COMMITTED), MINE, 1997, Move.WAIT),
        (OPEN, ours(BidStatus.COMMITTED), None, 1500, Move.WAIT),
        (OPEN, ours(BidStatus.REVEALED), MINE, 1999, Move.WAIT),
        (OPEN, ours(BidStatus.REVEALED), MINE, 2000, Move.AWARD),
        (OPEN, ours(BidStatus.EXCUSED), MINE, 1500, Move.WAIT),
        (OVER, ours(BidStatus.REVEALED), MINE, 2001, Move.CLAIM),
        (OVER, ours(BidStatus.AWARDED), MINE, 2001, Move.CLAIM),
        (OVER, ours(BidStatus.SOLD), MINE, 2001, Move.EXCUSE),
        (OVER, ours(BidStatus.CLAIMED), MINE, 2001, Move.OVER),
        (OVER, ours(BidStatus.COMMITTED), MINE, 2001, Move.OVER),
        (dataclasses.replace(OPEN, stage=Stage.CANCELLED), NOBODY, None, 900, Move.OVER),
    ],
)
def test_moves(tender: Tender, bidder: Bidder, mine: StoredBid | None, now: int, move: Move) -> None:
    assert decide_bid(tender, bidder, mine, now, margin=3)[0] is move


@pytest.mark.parametrize(
    ("settings", "now", "rate"),
    [
        (BiddingSettings(), 0, 100),
        (BiddingSettings(ask_rate=500), 0, 500),
        (BiddingSettings(ask_rate=50), 0, 100),
        (BiddingSettings(ask_rate=500, aim="total", cost_rate=1, lead=1000), 0, 500),
        (BiddingSettings(ask_rate=500, aim="total", cost_rate=1, lead=1000), 9_500, 300),
        (BiddingSettings(ask_rate=500, aim="total", cost_rate=1, lead=1000), 10_000, 100),
        (BiddingSettings(ask_rate=500, aim="total", cost_rate=300, lead=1000), 10_000, 300),
        (BiddingSettings(ask_rate=2000), 0, None),
    ],
)
def test_the_rate_never_goes_below_the_offers_floor(
    settings: BiddingSettings, now: int, rate: int | None
) -> None:
    offer = OfferRecord(1, b"", SlotWindow(0, 1), floor_rate=100, resources=(1,))
    assert offered_rate(settings, offer, start=10_000, now=now, ceiling=1000) == rate


def test_a_tender_goes_from_bids_to_a_settled_lease(
    world: World, provider: Provider, another_provider: Callable[[], Provider], buyer: Buyer
) -> None:
    class_ = provider.machines[0]["class"]
    dear = another_provider()
    _join_class(world, dear, class_)
    with (
        Running(provider.settings(setup_wait=15)) as cheap_agent,
        Running(dear.settings(bidding={"ask_rate": 3_000_000})) as dear_agent,
    ):
        wait_for("both agents", lambda: cheap_agent.health()["ok"] and dear_agent.health()["ok"])
        free = {org: buyer.exchange.escrow.free(org) for org in (buyer.org, provider.org, dear.org)}
        request = buyer.post(class_, 10, commit=7, reveal=6)
        tender = buyer.exchange.tender
        wait_for("two bids", lambda: tender.tender(request).commits == 2)
        wait_for("two reveals", lambda: tender.tender(request).reveals == 2)
        award = wait_for("the award", lambda: tender.tender(request).award)
        [lease] = _leases_of(buyer, award)
        client = buyer.gateway(cheap_agent.server.url, cheap_agent.server.key_hash)
        wait_for("the agent's signature", lambda: buyer.exchange.leases.lease(lease).signed_at)
        client.put_setup(lease, [KEY], "mine")
        buyer.wait_state(lease, "delivered")
        assert buyer.open(client, lease).ssh_private_key is None
        order = cheap_agent.store.order(cheap_agent.agent.key(lease, provider.resources[0]))
        assert order and order[0].ssh_public_keys == (KEY,) and order[0].hostname == "mine"
        buyer.accept(lease)
        for org in (provider.org, dear.org):
            wait_for("claims", lambda org=org: tender.bidder(request, org).status is BidStatus.CLAIMED)
        buyer.wait_state(lease, "completed", limit=30)
        wait_for("the end", lambda: not cheap_agent.store.open_leases())
        paid = buyer.exchange.settlement.account(lease).paid
        after = {org: buyer.exchange.escrow.free(org) for org in free}
        assert buyer.exchange.leases.lease(lease).rate == 1_000_000
        assert after[dear.org] == free[dear.org] and paid > 0
        assert after[provider.org] - free[provider.org] == free[buyer.org] - after[buyer.org] == paid
        assert cheap_agent.store.open_tenders() == [] and cheap_agent.store.live_bids() == []


def test_a_bid_whose_machine_was_sold_meanwhile_is_void_and_costs_nothing(
    provider: Provider, buyer: Buyer, stranger: Buyer
) -> None:
    with Running(provider.settings()) as running:
        free = buyer.exchange.escrow.free(provider.org)
        request = buyer.post(provider.machines[0]["class"], 10, commit=8, reveal=6)
        tender = buyer.exchange.tender
        wait_for("the bid", lambda: tender.tender(request).commits == 1)
        stored = running.store.bid(request)
        assert stored is not None
        sold = [provider.resources.index(r) for r in stored.bid.resources]
        lease = stranger.buy(provider, 30, places=tuple(sold))
        wait_for("the void reveal", lambda: tender.tender(request).excused == 1, 20)
        assert tender.bidder(request, provider.org).status is BidStatus.EXCUSED
        stranger.wait_state(lease, "delivered")
        account = buyer.exchange.settlement.account(lease)
        assert buyer.exchange.escrow.free(provider.org) == free - account.bond


def test_nothing_is_bid_that_the_bond_is_not_there_for(provider: Provider, buyer: Buyer) -> None:
    rich = provider.exchange.escrow.free(provider.org)
    with Running(provider.settings()) as running:
        wait_for("the agent", lambda: running.health()["ok"])
        provider.exchange.send(provider.exchange.escrow.withdraw(rich - 1_000))
        request = buyer.post(provider.machines[0]["class"], 60, commit=6, reveal=3)
        why = "ocx credits deposit"
        wait_for("the reason", lambda: any(why in item["why"] for item in running.agent.tenders()))
        assert running.store.bid(request) is None
        assert provider.exchange.escrow.free(provider.org) == 1_000


def test_only_an_sla_that_the_provider_has_named_is_agreed_to(provider: Provider, buyer: Buyer) -> None:
    class_, tender = provider.machines[0]["class"], buyer.exchange.tender
    with Running(provider.settings()) as running:
        request = buyer.post(class_, 10, commit=6, reveal=3, sla=9)
        told = "it asks for SLA 9, which neither our offers nor bidding.slas name"
        wait_for("the reason", lambda: any(item["why"] == told for item in running.agent.tenders()))
        assert running.store.bid(request) is None
    with Running(provider.settings("agreeing", bidding={"slas": [9]})) as running:
        wait_for("the agent", lambda: running.health()["ok"])
        request = buyer.post(class_, 10, commit=8, reveal=3, sla=9)
        wait_for("the bid", lambda: tender.tender(request).commits == 1)


def test_what_our_own_auction_has_is_not_bid_until_that_is_over(provider: Provider, buyer: Buyer) -> None:
    english, now = provider.exchange.english, provider.exchange.now()
    assert english is not None
    window = buyer.window(60, 1500)
    terms = AuctionTerms(provider.offer, window, 10**9, 500, now + 600, 60, now + 900)
    provider.exchange.send(english.open(terms, provider.resources[:1]))
    with Running(provider.settings()) as running:
        request = buyer.post(provider.machines[0]["class"], 20, commit=15, reveal=3)
        told = "our own auction has it, and sells it to one of the two"
        wait_for("the reason", lambda: any(item["why"] == told for item in running.agent.tenders()))
        assert running.store.bid(request) is None
        provider.exchange.send(english.cancel(english.count()))
        wait_for("the bid", lambda: buyer.exchange.tender.tender(request).commits == 1)


def test_the_floor_that_counts_is_the_one_an_offer_has_now(provider: Provider, buyer: Buyer) -> None:
    book = provider.exchange.book
    provider.exchange.send(book.reprice(provider.offer, 10**12, 0))
    with Running(provider.settings()) as running:
        request = buyer.post(provider.machines[0]["class"], 20, commit=15, reveal=3)
        told = "our rate is above the ceiling"
        wait_for("the reason", lambda: any(item["why"] == told for item in running.agent.tenders()))
        provider.exchange.send(book.reprice(provider.offer, 1, 0))
        wait_for("the bid", lambda: buyer.exchange.tender.tender(request).commits == 1)


def test_a_piece_is_bid_where_a_machine_is_free(provider: Provider, buyer: Buyer) -> None:
    class_, tender = provider.machines[0]["class"], buyer.exchange.tender
    with Running(provider.settings()) as running:
        wait_for("the agent", lambda: running.health()["ok"])
        request = buyer.post(class_, 60, commit=8, reveal=4, count=2, slots=20)
        asked = buyer.exchange.book.request(request)
        stored = wait_for("the bid", lambda: running.store.bid(request))
        assert stored.bid.start in asked.starts and len(stored.bid.resources) == 2
        wait_for("the reveal", lambda: tender.tender(request).reveals == 1)
        assert tender.bidder(request, provider.org).start == stored.bid.start
        award = wait_for("the award", lambda: tender.tender(request).award)
        [lease] = _leases_of(buyer, award)
        won = buyer.exchange.leases.lease(lease)
        assert (won.start, won.end) == (stored.bid.start, stored.bid.start + 20)


def test_two_tenders_at_once_never_pledge_one_machine_twice(provider: Provider, buyer: Buyer) -> None:
    class_ = provider.machines[0]["class"]
    with Running(provider.settings()) as running:
        requests = [buyer.post(class_, 30, commit=8, reveal=4) for _ in range(3)]
        wait_for("two bids", lambda: len(running.store.live_bids()) == 2)
        named = [r for stored in running.store.live_bids() for r in stored.bid.resources]
        assert sorted(named) == sorted(provider.resources)
        tenders = running.agent.tenders
        wait_for("a reason for the third", lambda: any("no resource" in item["why"] for item in tenders()))
        # What others asked for may stand there, too.
        assert set(requests) <= {item["request"] for item in tenders()}


def _join_class(world: World, provider: Provider, class_: str) -> None:
    """Give a provider one more machine, of another's class, and an offer on it."""
    provider.machines.append({"name": f"{class_}-guest", "class": class_})
    world.sell(provider, [provider.machines[-1]["name"]])


def _leases_of(buyer: Buyer, award: int) -> list[int]:
    leases = buyer.exchange.leases
    return [n for n in range(1, leases.count() + 1) if leases.lease(n).award == award]
